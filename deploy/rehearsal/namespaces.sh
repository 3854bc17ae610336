#!/usr/bin/env bash
# Runs command lines as if each were on a machine of its own: in a network namespace with an address, and a delay to the servers.
#
#   sudo deploy/rehearsal/namespaces.sh [--env FILE] [--delay MS] [--cut N@SECONDS,for=SECONDS] [--port PORT] COMMAND...
#
# Each COMMAND is one argument. The servers are those of the environment, or of FILE ("cdc-bench stack up" prints the path of its
# stack.env), and listen on this machine's 127.0.0.1: in every namespace they are at the same address and port, so that the
# command lines and what Kafka advertises are the same as without this script.
#
#   --delay MS   each way, between every namespace and the servers (tc netem; where the kernel has none, the relays wait)
#   --cut ...    takes namespace N (from 1) off the network for a while; may be repeated
#   --port PORT  one more port of this machine that namespaces reach; may be repeated
#
# It waits for all commands, and its exit code is the first one's that is not 0. Ctrl-C ends them. What it makes (a bridge, namespaces,
# pairs of interfaces, all named after one random number, in 198.18.0.0/15, the range for benchmarks) it removes at its end.
# Needs root, iproute2, util-linux and python3.
set -euo pipefail

fail() {
    echo "namespaces.sh: $1" >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
delay=0 cuts=() ports=() commands=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        --env)
            [ -r "${2:-}" ] || fail "--env: cannot read ${2:-(no file given)}"
            set -a
            # shellcheck source=/dev/null
            . "$(realpath "$2")"
            set +a
            shift 2 ;;
        --delay) delay=${2:-}; [[ $delay =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--delay: not a number of milliseconds: $delay"; shift 2 ;;
        --cut) [[ ${2:-} =~ ^[0-9]+@[0-9]+,for=[0-9]+$ ]] || fail "--cut: expected N@SECONDS,for=SECONDS: ${2:-}"; cuts+=("$2"); shift 2 ;;
        --port) [[ ${2:-} =~ ^[0-9]+$ ]] || fail "--port: not a port: ${2:-}"; ports+=("$2"); shift 2 ;;
        -*) fail "unknown option $1; --help has all of them" ;;
        *) commands+=("$1"); shift ;;
    esac
done
[ ${#commands[@]} -gt 0 ] || fail "no command given; --help shows how"
[ ${#commands[@]} -le 200 ] || fail "more than 200 commands"
for cut in ${cuts[@]+"${cuts[@]}"}; do
    if [ "${cut%%@*}" -lt 1 ] || [ "${cut%%@*}" -gt ${#commands[@]} ]; then
        fail "--cut $cut: there is no namespace ${cut%%@*}"
    fi
done
[ "$(id -u)" = 0 ] || fail "needs root: namespaces and interfaces are made"
for tool in ip tc setsid python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing (iproute2, util-linux, python3)"
done

# The servers' ports: of what stands after the last colon of each HOST:PORT.
add_server() {
    local name=$1 host=$2 port=$3
    case $host in
        127.0.0.1 | localhost) ports+=("$port") ;;
        *) fail "$name is at $host, which is not this machine: start the command lines where they are to run" ;;
    esac
}
[ -z "${POSTGRES_HOST:-}" ] || add_server POSTGRES_HOST "$POSTGRES_HOST" "${POSTGRES_PORT:-5432}"
for broker in ${KAFKA_BOOTSTRAP_SERVERS:+${KAFKA_BOOTSTRAP_SERVERS//,/ }}; do
    add_server KAFKA_BOOTSTRAP_SERVERS "${broker%:*}" "${broker##*:}"
done
for name in CONNECT_URL MONGODB_URI; do
    # Without scheme, login and what follows the address.
    address=${!name:-}
    address=${address#*://} address=${address%%/*} address=${address##*@}
    for server in ${address//,/ }; do
        add_server "$name" "${server%:*}" "${server##*:}"
    done
done
[ ${#ports[@]} -gt 0 ] || fail "no server is named: give --env, or set POSTGRES_HOST and its like"

tag=cdcb$(od -A n -N 2 -t x1 /dev/urandom | tr -d " ")
pids=() cutters=() relays=() namespaces=() bridge=

ended=
finish() {
    [ -z "$ended" ] || return 0
    ended=yes
    trap '' INT TERM
    # Groups of their own: a command's children end with it.
    for pid in ${pids[@]+"${pids[@]}"}; do kill -TERM -- "-$pid" 2>/dev/null || true; done
    for _ in $(seq 120); do
        alive=
        for pid in ${pids[@]+"${pids[@]}"}; do kill -0 -- "-$pid" 2>/dev/null && alive=yes; done
        [ -n "$alive" ] || break
        sleep 0.1
    done
    for pid in ${pids[@]+"${pids[@]}"} ${cutters[@]+"${cutters[@]}"}; do kill -KILL -- "-$pid" 2>/dev/null || true; done
    for pid in ${relays[@]+"${relays[@]}"}; do kill "$pid" 2>/dev/null || true; done
    for namespace in ${namespaces[@]+"${namespaces[@]}"}; do
        ip link delete "$namespace" 2>/dev/null || true
        ip netns delete "$namespace" 2>/dev/null || true
    done
    [ -z "$bridge" ] || ip link delete "$bridge" 2>/dev/null || true
    wait 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A network that nothing here has a route to.
net=
for _ in $(seq 50); do
    candidate=198.$((18 + RANDOM % 2)).$((RANDOM % 256))
    if [ -z "$(ip -4 route show root "$candidate.0/24")$(ip -4 route show match "$candidate.1" | grep -v '^default' || true)" ]; then
        net=$candidate
        break
    fi
done
[ -n "$net" ] || fail "this machine has routes into all of 198.18.0.0/15"

ip link add "$tag" type bridge || fail "cannot make a bridge: the kernel has none, or this is a container without CAP_NET_ADMIN"
bridge=$tag
ip address add "$net.1/24" dev "$bridge"
ip link set "$bridge" up

relay_delay=0
for number in $(seq ${#commands[@]}); do
    namespace=$tag-$number
    ip netns add "$namespace"
    namespaces+=("$namespace")
    ip link add "$namespace" type veth peer name eth0 netns "$namespace"
    ip link set "$namespace" master "$bridge" up
    ip -n "$namespace" address add "$net.$((number + 1))/24" dev eth0
    ip -n "$namespace" link set lo up
    ip -n "$namespace" link set eth0 up
    if [ "$delay" != 0 ] && [ "$relay_delay" = 0 ]; then
        if ! { tc qdisc add dev "$namespace" root netem delay "${delay}ms" &&
            tc -n "$namespace" qdisc add dev eth0 root netem delay "${delay}ms"; } 2>/dev/null; then
            [ "$number" = 1 ] || fail "tc netem works for namespace 1 and not for $number"
            echo "namespaces.sh: this kernel has no netem: the relays wait ${delay} ms instead" >&2
            relay_delay=$delay
        fi
    fi
done

# relay NAMESPACE LISTEN CONNECT DELAY: starts one, and waits until it listens.
relay() {
    local namespace=$1 ready
    shift
    local start=(python3 "$here/relay.py" "$@" "${ports[@]}")
    [ -z "$namespace" ] || start=(ip netns exec "$namespace" "${start[@]}")
    exec 3< <(exec "${start[@]}")
    relays+=($!)
    read -r -t 10 ready <&3 || true
    [ "${ready:-}" = ready ] || fail "no relay on $1 for ports ${ports[*]}"
    exec 3<&-
}
relay "" "$net.1" 127.0.0.1 0
for namespace in "${namespaces[@]}"; do
    relay "$namespace" 127.0.0.1 "$net.1" "$relay_delay"
done

# Who called sudo runs the commands.
as_caller=()
if [ -n "${SUDO_UID:-}" ] && command -v setpriv >/dev/null; then
    as_caller=(setpriv "--reuid=$SUDO_UID" "--regid=$SUDO_GID" --init-groups)
fi
for number in $(seq ${#commands[@]}); do
    namespace=${namespaces[$((number - 1))]}
    echo "[$number] $net.$((number + 1)): ${commands[$((number - 1))]}"
    # So that a command which prints its last words has said them before the namespace is gone.
    ip netns exec "$namespace" setsid ${as_caller[@]+"${as_caller[@]}"} bash -c "${commands[$((number - 1))]}" \
        < /dev/null > >(exec sed -u "s/^/[$number] /") 2>&1 &
    pids+=($!)
done

for cut in ${cuts[@]+"${cuts[@]}"}; do
    number=${cut%%@*} at=${cut#*@}
    # Off the bridge, what it sends is lost, as it is when a cable is cut; an interface that is down would say so.
    setsid bash -c "sleep ${at%%,*} && ip link set $tag-$number nomaster && echo '[$number] cut off' &&
        sleep ${at##*=} && ip link set $tag-$number master $bridge && echo '[$number] reached again'" &
    cutters+=($!)
    disown
done

code=0
for number in $(seq ${#commands[@]}); do
    ended_with=0
    wait "${pids[$((number - 1))]}" || ended_with=$?
    [ "$ended_with" = 0 ] || echo "[$number] ended with $ended_with" >&2
    [ "$code" != 0 ] || code=$ended_with
done
exit "$code"
