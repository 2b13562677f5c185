#!/bin/sh
# Runs the test programs with and without the programs that some tests use as helpers. Run it by hand:
#
#     tests/without_helpers.sh [PASS ...]
#
# PASS is one of these; all of them by default:
#
#     none   PATH has only what every Linux machine has: no strace, b3sum, setfacl, mkfs.ext4, python3, ...
#     all    PATH as it is
#     user   as a user without privileges (as root: the user PCOPY_USER, default 1000), with a copy of the
#            project and a target directory of its own; PATH as it is
#
# In each pass a test that cannot run must be skipped, and must say why. The script prints the tests that failed and
# how many were skipped for which reason. TESTS names the test programs (default: it; also timing, faults, model,
# ring). More arguments for them can be given in TEST_ARGUMENTS, such as a module.
set -u
cd "$(dirname "$0")/.." || exit 3
unset PCOPY_FORBID_SKIPS
: "${TESTS:=it}" "${TEST_ARGUMENTS:=}" "${PCOPY_USER:=1000}"
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"

# What POSIX, GNU coreutils, findutils, diffutils and util-linux have on every machine.
ALWAYS='[ awk basename bash cat chgrp chmod chown cp cut date dd df diff dirname du echo env expr false find grep head
    id kill link ln ls mkdir mkfifo mknod mktemp mount mv nice nohup od printf ps pwd readlink realpath rm rmdir sed seq
    sh sha256sum sleep sort stat stty sync tail tee test timeout touch tr true truncate umount uname uniq wc xargs'

# Prints the paths of the test programs that `cargo` builds in the current directory. Its messages go to `built`.
programs() {
    for test in $TESTS; do
        set -- "$@" --test "$test"
    done
    cargo test --no-run --locked "$@" 2>"$work/built" || { cat "$work/built" >&2; return 1; }
    sed -n 's/^ *Executable.*(\(.*\))$/\1/p' "$work/built"
}

# Runs a pass: the commands $2... start a test program, whose path follows.
pass() {
    name=$1
    shift
    : >"$work/$name"
    for program in $(cat "$work/programs"); do
        # A test program is run in the directory of its package, as cargo does.
        "$@" "$program" --test-threads 2 $TEST_ARGUMENTS >>"$work/$name" 2>&1
        code=$?
        [ $code = 0 ] || { failed=1; echo "exit code $code: $program" >>"$work/$name"; }
    done
    echo "== $name"
    grep -E '^test result|^exit code' "$work/$name"
    sed -n '/^failures:$/,/^test result/p' "$work/$name" | grep -v -e '^test result' -e '^$' | head -n "${LINES_OF_FAILURES:-200}"
    echo "skipped, by reason:"
    sed -n 's/.*skipped: [^ ]*: //p' "$work/$name" | sort | uniq -c | sort -rn
}

failed=0
for pass in ${*:-none all user}; do
    case $pass in
    none)
        programs >"$work/programs" || exit 1
        mkdir -p "$work/bin"
        for program in $ALWAYS; do
            for dir in $(echo "$PATH" | tr : ' '); do
                [ -x "$dir/$program" ] && { ln -sf "$dir/$program" "$work/bin/$program"; break; }
            done
        done
        pass none env PATH="$work/bin"
        ;;
    all)
        programs >"$work/programs" || exit 1
        pass all env
        ;;
    user)
        if [ "$(id -u)" != 0 ]; then
            programs >"$work/programs" || exit 1
            pass user env
            continue
        fi
        command -v setpriv >/dev/null || { echo "user: setpriv is not installed; run this as a user instead"; continue; }
        # Root builds, because the user may have no cargo, and gives it all to the user.
        mkdir "$work/home"
        git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -pt "$work/home" || exit 1
        cd "$work/home" || exit 1
        CARGO_TARGET_DIR=$work/home/target programs >"$work/programs" || exit 1
        chown -R "$PCOPY_USER:$PCOPY_USER" "$work/home"
        pass user setpriv --reuid="$PCOPY_USER" --regid="$PCOPY_USER" --clear-groups \
            env HOME="$work/home" TMPDIR=/tmp
        cd - >/dev/null || exit 1
        ;;
    *) echo "unknown pass: $pass" >&2; exit 2 ;;
    esac
done
exit $failed
