# Keeps one throwaway PostgreSQL cluster for as long as its standard input is open.
#
#   sh keeper.sh <directory of initdb and postgres> <base directory> <postgres option>...
#
# Whoever starts it holds the other end of the input. However that process ends, the input closes, and then the server
# is stopped and everything removed. So the directory is made here and not by the starter, who could be killed between
# making it and handing it over.
#
# It answers on standard output, a line each: "directory <path>", "ready" or "failed" (initdb). Commands on the input:
#   start      run the server          answers "started <pid>"
#   alive      is it still running?    answers "alive" or "dead"
#   immediate  stop it as a crash does answers "stopped"

bin=$1
base=$2
shift 2
pid=
dir=

say() {
    printf '%s\n' "$*"
}

alive() {
    # A child that ended is a zombie, for which kill -0 succeeds, until the shell has waited for something.
    sleep 0
    [ -n "$pid" ] && kill -0 "$pid"
}

# stop SIGNAL...: sends the next signal when the one before did not do within five seconds.
stop() {
    [ -n "$pid" ] || return 0
    for signal in "$@"; do
        kill -s "$signal" "$pid" || break
        tries=0
        while [ "$tries" -lt 100 ] && kill -0 "$pid"; do
            sleep 0.05
            tries=$((tries + 1))
        done
    done
    wait "$pid"
    pid=
}

finish() {
    # The working directory must not be the one that goes away; no second signal may cut this short.
    trap '' HUP INT TERM
    stop INT QUIT KILL
    [ -z "$dir" ] || rm -rf -- "$dir"
}

# When our starter is gone, an answer to it must fail and not kill us before we have cleaned up.
trap '' PIPE
trap finish EXIT
trap 'exit 1' HUP INT TERM
umask 077

dir=$(mktemp -d "$base/dbmail-mesh-XXXXXX") || exit 1
exec 2>>"$dir/keeper.log"
say "directory $dir"

if "$bin/initdb" --pgdata="$dir/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync \
    >>"$dir/server.log" 2>&1 </dev/null; then
    say ready
else
    say failed
fi

while read -r command; do
    case $command in
    start)
        "$bin/postgres" -D "$dir/data" -k "$dir" "$@" >>"$dir/server.log" 2>&1 </dev/null &
        pid=$!
        say "started $pid"
        ;;
    alive)
        if alive; then say alive; else say dead; fi
        ;;
    immediate)
        stop QUIT KILL
        say stopped
        ;;
    esac
done
