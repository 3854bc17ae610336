#!/bin/sh
# Writes the first ten minutes with cdc-bench into docs/tutorial.md, between the two marker comments: commands and what came
# back, as a terminal shows it when each is over, really run in an empty folder on a stack of its own.
#
#   docs/transcript.sh
#
# Needs tmux and python3. The commands are run by target/release/cdc-bench, or by $CDC_BENCH. What is long is shortened
# (a line "…" stands for what is left out), and folders of this machine are named by what they are.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=${CDC_BENCH:-$here/../target/release/cdc-bench}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
session=cdc-bench-transcript-$$
work=$(mktemp -d)
mkdir "$work/bin" "$work/here" "$work/state"
# As root, PostgreSQL runs as another user and must get through.
chmod 755 "$work" "$work/state"
ln -s "$program" "$work/bin/cdc-bench"

in_work() {
    cd "$work/here" && PATH="$work/bin:$PATH" CDC_BENCH_STATE_DIR="$work/state" "$@"
}

finish() {
    tmux -L "$session" kill-session -t "$session" 2>/dev/null || true
    (in_work cdc-bench stack down >/dev/null 2>&1) || true
    rm -rf "$work"
}
trap finish EXIT INT TERM

# say WORDS: a comment of the transcript.
say() {
    printf '\n# %s\n' "$1" >>"$work/transcript"
}

# try FIRST LAST COMMAND: runs it in a terminal, and keeps its first and last lines. 0 0: all of them.
try() {
    first=$1 last=$2 command=$3
    printf '$ %s\n' "$command" >>"$work/transcript"
    rm -f "$work/code"
    cat >"$work/command" <<COMMAND
cd '$work/here'
PATH='$work/bin':"\$PATH" CDC_BENCH_STATE_DIR='$work/state'
export PATH CDC_BENCH_STATE_DIR
$command
echo \$? >'$work/code.part'
mv '$work/code.part' '$work/code'
exec sleep 600
COMMAND
    tmux -L "$session" -f /dev/null new-session -d -s "$session" -x 120 -y 50 -e TERM=xterm-256color sh "$work/command"
    waited=0
    until [ -e "$work/code" ]; do
        waited=$((waited + 1))
        [ "$waited" -lt 3000 ] || { echo "no end of \"$command\" after 600 s" >&2; exit 1; }
        sleep 0.2
    done
    # The terminal may still have a line to draw.
    sleep 0.5
    tmux -L "$session" capture-pane -p -J -S - -t "$session" >"$work/screen"
    tmux -L "$session" kill-session -t "$session"
    python3 - "$work/screen" "$first" "$last" >>"$work/transcript" <<'PYTHON'
import sys

screen, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
lines = [line.rstrip() for line in open(screen, encoding="utf-8")]
while lines and not lines[-1]:
    lines.pop()
while lines and not lines[0]:
    lines.pop(0)
if first + last and len(lines) > first + last + 1:
    lines = lines[:first] + ["…"] + lines[len(lines) - last:]
print("\n".join(lines))
PYTHON
    code=$(cat "$work/code")
    [ "$code" = 0 ] || printf '$ echo $?\n%s\n' "$code" >>"$work/transcript"
}

# The newest result's id.
newest() {
    ls "$work/here/cdc-bench-results" | sort | tail -n 1
}

say 'What can it do?'
try 8 0 'cdc-bench --help'
say 'What is there, and what is missing?'
try 0 0 'cdc-bench doctor'
say 'Start servers that stay, so that runs begin at once. (Without them each run starts its own.)'
try 0 0 'cdc-bench stack up'
say 'The main job, a thousand events at 33 a second. The terminal shows a dashboard during the run; this is what remains.'
try 24 7 'cdc-bench run --profile stress'
tuned=$(newest)
say "The same with Debezium's defaults."
try 0 11 'cdc-bench run --profile stress --connector-profile stock'
say 'Is that slower, or is it chance?'
try 6 13 "cdc-bench compare $tuned latest --varied connector"
say 'The last result for a pull request. (-f html is a page with plots; the run has made one.)'
try 6 0 'cdc-bench report latest -f markdown'
say 'A mistyped flag.'
try 0 0 'cdc-bench run --evnts 5000'
say 'Which servers are up, what the runs have left on them, and the end of the stack.'
try 2 0 'cdc-bench stack status'
try 0 0 'cdc-bench cleanup'
try 0 0 'cdc-bench stack down'

python3 - "$here/tutorial.md" "$work" <<'PYTHON'
import os
import re
import sys

tutorial, work = sys.argv[1:]
text = open(f"{work}/transcript", encoding="utf-8").read().strip()
# Folders of this machine, by what they are.
text = text.replace(f"{work}/here/", "").replace(f"{work}/state", "…").replace(work, "FOLDER")
text = text.replace(os.path.expanduser("~") + "/", "~/").replace("/var/cache/", "~/.cache/")
begin, end = "<!-- docs/transcript.sh writes from here -->", "<!-- to here -->"
page = open(tutorial, encoding="utf-8").read()
if begin not in page or end not in page:
    sys.exit(f"{tutorial} has no markers: {begin} ... {end}")
section = f"{begin}\n```console\n{text}\n```\n{end}"
page = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: section, page, flags=re.S)
open(tutorial, "w", encoding="utf-8").write(page)
PYTHON
echo "$here/tutorial.md"
