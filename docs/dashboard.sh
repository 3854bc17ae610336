#!/bin/sh
# Draws docs/dashboard.svg: the dashboard of a real run, as a terminal shows it.
#
#   docs/dashboard.sh [COLUMNSxLINES] [ARGUMENTS OF cdc-bench run]
#
# Needs tmux and python3-venv; the run is made by target/release/cdc-bench, or by $CDC_BENCH.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
size=${1:-120x40}
[ $# -gt 0 ] && shift
program=${CDC_BENCH:-$here/../target/release/cdc-bench}
work=$(mktemp -d)
session=cdc-bench-dashboard-$$
trap 'tmux kill-session -t "$session" 2>/dev/null || true; rm -rf "$work"' EXIT INT TERM

python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet --disable-pip-version-check install rich==15.0.0

tmux new-session -d -s "$session" -x "${size%x*}" -y "${size#*x}" -e TERM=xterm-256color \
    "$program" run --results-dir "$work/results" "${@:---events=5000}"

# The measured events, more than half of them.
tries=0
until tmux capture-pane -p -t "$session" 2>/dev/null | head -n 2 | tr '\n' ' ' | grep -q ' LOAD .* [5-9][0-9] % '; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { echo "no dashboard after 150 s" >&2; exit 1; }
    sleep 0.5
done
tmux capture-pane -e -p -t "$session" >"$work/screen.ansi"
tmux send-keys -t "$session" q
while tmux has-session -t "$session" 2>/dev/null; do sleep 0.2; done

"$work/venv/bin/python" - "$work/screen.ansi" "${size%x*}" "$here/dashboard.svg" <<'PYTHON'
import io
import re
import sys

from rich.console import Console
from rich.text import Text

screen, width, target = sys.argv[1], int(sys.argv[2]), sys.argv[3]
console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, legacy_windows=False)
for line in open(screen, encoding="utf-8"):
    console.print(Text.from_ansi(line.rstrip("\n")), no_wrap=True, crop=True)
# Rich's page asks a server for its font, and numbers its styles by chance; a picture in a README does neither.
svg = console.export_svg(title="cdc-bench run", unique_id="dashboard")
svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.S)
svg = re.sub(r"\s*<!-- Generated with Rich .*?-->", "", svg)
with open(target, "w", encoding="utf-8") as file:
    file.write(svg)
PYTHON
echo "$here/dashboard.svg"
