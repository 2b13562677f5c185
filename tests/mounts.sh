#!/bin/bash
# Tries pcopy on the file systems and mounts that this machine has. Run it by hand, as root:
#
#     tests/mounts.sh [-v] [NAME ...]
#
# For each mount it copies a tree of entries of all types to the mount (as target) and from it (as source), each
# twice and then with --check, and prints one line: what the runs did, and what the copy lacks. With -v it also
# prints the messages of pcopy. PCOPY is the program to try (default: target/release/pcopy).
#
# It needs python3, setfattr and setfacl. A mount whose programs are not installed is named and left out.
# PATH_OF_SSHD and SFTP_SERVER may name the programs of an OpenSSH server that is not installed. Everything is
# made in a temporary directory in memory, with mounts and processes that only this script sees.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${PCOPY:=$here/../target/release/pcopy}"

if [ -z "${PCOPY_MOUNTS_WORK:-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "mounts.sh: run this as root" >&2; exit 3; }
    for helper in python3 unshare setfattr setfacl mkfifo; do
        command -v $helper >/dev/null || { echo "mounts.sh: $helper is not installed" >&2; exit 3; }
    done
    PCOPY=$(realpath "$PCOPY") && [ -x "$PCOPY" ] || { echo "mounts.sh: no program $PCOPY" >&2; exit 3; }
    PCOPY_MOUNTS_WORK=$(mktemp -d /dev/shm/pcopy-mounts.XXXXXX) || exit 3
    export PCOPY PCOPY_MOUNTS_WORK
    trap 'rm -rf "$PCOPY_MOUNTS_WORK"' EXIT
    trap 'exit 130' INT TERM
    # All daemons end with the namespace of processes, and all mounts with that of mounts.
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$BASH" "$0" "$@"
    exit
fi

verbose=false
[ "${1:-}" = -v ] && { verbose=true; shift; }
cd "$PCOPY_MOUNTS_WORK" || exit 3
export LC_ALL=C.UTF-8

# ------------------------------------------------------------------------------------------- the mixed tree

# Makes the tree in the directory $1: all types, long and odd names, holes, links, attributes, ACLs, modes, times.
plant() {
    mkdir -p "$1" && (
        cd "$1" || exit
        head -c 20M /dev/urandom >large
        head -c 100K /dev/urandom >some
        printf x >one; : >empty
        truncate -s 3M holes && printf x | dd of=holes bs=1 seek=1M conv=notrunc status=none
        truncate -s 20M 'large hole' && printf x | dd of='large hole' bs=1 seek=18M conv=notrunc status=none
        mkdir names dir-0700 dir-2775 dir-1777 "d$(printf '%0199d' 1)" many
        for name in ' blank ' 'a:b' 'a?b*c' 'back\slash' 'dot.' '.hidden' $'new\nline' 'é' 'e'$'\u301' 日本語 🙂 \
                    $'not-utf8-\xff' "$(printf '%0100d' 1)" "$(printf '%0143d' 2)" "$(printf '%0255d' 3)" CON; do
            printf %s "$name" >"names/$name"
        done
        mkdir -p deep/$(printf 'l/%.0s' {1..60}) && echo deep >deep/$(printf 'l/%.0s' {1..60})file
        for number in {1..200}; do echo "$number" >many/"$number"; done
        ln some 'hard link'; ln some many/'another hard link'
        ln -s some symlink; ln -s nowhere dangling; ln -s names symlink-to-dir
        mkfifo fifo; mknod null c 1 3; mknod block b 7 250
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
        for mode in 0400 0640 0755 4755 2755 0000; do echo "$mode" >"mode-$mode"; done
        echo theirs >owner; chown 1000:1001 owner; ln -s one owned-symlink; chown -h 1000:1001 owned-symlink
        echo x >xattr; setfattr -n user.colour -v blue xattr; setfattr -n user.colour -v red names
        echo x >acl; setfacl -m u:1000:rw,g:1001:r acl; setfacl -m u:7:rwx,d:u:8:rx many
        chmod 0700 dir-0700; chmod 2775 dir-2775; chmod 1777 dir-1777
        for mode in 0400 0640 0755 4755 2755 0000; do chmod "$mode" "mode-$mode"; done
        # Times with nanoseconds, odd seconds, and long ago; symlinks and directories too.
        find . -depth -exec touch -hd '2021-03-04 05:06:07.123456789' {} +
        touch -d '1985-01-02 03:04:05.9' one; touch -hd '2038-02-01 00:00:01.5' symlink
    )
}

# ------------------------------------------------------------------------------------------------ the mounts

# Runs a command. Returns false if it is not installed or fails; $why then has its name and last line of output.
try() {
    command -v "$1" >/dev/null || { why="$1 is not installed"; return 1; }
    local output
    output=$("$@" 2>&1 </dev/null) || { why="$1: $(printf %s "$output" | tail -n1)"; return 1; }
}

# Creates an image of 600 MB with the program $1 and its options, and mounts it as $kind with $options, if set.
image() {
    local loop
    truncate -s 600M image
    try "$@" image || return
    loop=$(losetup -f --show image) || { why='no loop device'; return 1; }
    rm image # it exists as long as the loop device uses it
    case $kind in
        exfat-fuse) try mount.exfat-fuse "$loop" at ;;
        ntfs-3g) try ntfs-3g "$loop" at ${options:+-o "$options"} ;;
        *) try mount -t "$kind" "$loop" at ;;
    esac || { losetup -d "$loop"; return 1; }
    losetup -d "$loop" # when it is unmounted
}

# Waits until a file system is mounted at `at`.
await() {
    for _ in {1..100}; do
        mountpoint -q at && return
        sleep 0.1
    done
    why="$1 mounted nothing: $(tail -n1 daemon.log)"; return 1
}

# Starts an SSH server for this script alone, and mounts `under` through it.
ssh_mount() {
    local sshd sftp port=${PORT:-2299}
    sshd=${PATH_OF_SSHD:-$(PATH=$PATH:/usr/sbin command -v sshd)} || { why='sshd is not installed'; return 1; }
    sftp=${SFTP_SERVER:-/usr/lib/openssh/sftp-server}
    command -v sshfs >/dev/null || { why='sshfs is not installed'; return 1; }
    if [ ! -d ssh ]; then
        mkdir -m 700 ssh
        try ssh-keygen -q -t ed25519 -N '' -f ssh/host_key && try ssh-keygen -q -t ed25519 -N '' -f ssh/key || return
        cp ssh/key.pub ssh/authorized_keys
        # The server's user and directory for privilege separation, visible to this script alone.
        mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd
        if ! getent passwd sshd >/dev/null; then
            { cat /etc/passwd; echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin'; } >ssh/passwd
            mount --bind ssh/passwd /etc/passwd
        fi
        printf '%s\n' "Port $port" 'ListenAddress 127.0.0.1' "HostKey $PWD/ssh/host_key" 'PidFile none' 'UsePAM no' \
            "AuthorizedKeysFile $PWD/ssh/authorized_keys" 'StrictModes no' 'PermitRootLogin prohibit-password' \
            'PasswordAuthentication no' "Subsystem sftp $sftp" >ssh/sshd_config
        "$sshd" -f "$PWD/ssh/sshd_config" -E "$PWD/daemon.log" || { why="sshd: $(tail -n1 daemon.log)"; return 1; }
        sleep 0.5
    fi
    try sshfs root@127.0.0.1:"$PWD/under" at -p "$port" -F /dev/null -o IdentityFile="$PWD/ssh/key" \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o allow_other ${options:+-o "$options"}
}

rclone_mount() {
    command -v rclone >/dev/null || { why='rclone is not installed'; return 1; }
    rclone --config /dev/null mount "$PWD/under" at --allow-other --cache-dir "$PWD/cache" "$@" \
        >daemon.log 2>&1 </dev/null &
    await rclone
}

# Each mounts a file system at `at`. `under` is an empty directory; `under2`, `under3` are two more. $pause is the
# time after which the mount shows what was written.
mount_tmpfs() { try mount -t tmpfs -o size=600M tmpfs at; }
mount_ext4() { kind=ext4 image mkfs.ext4 -q -F; }
mount_ext4-128() { kind=ext4 image mkfs.ext4 -q -F -I 128; }
mount_xfs() { kind=xfs image mkfs.xfs -q; }
mount_btrfs() { kind=btrfs image mkfs.btrfs -q; }
mount_fat() { kind=vfat image mkfs.vfat; }
mount_exfat() { kind=exfat image mkfs.exfat; }
mount_exfat-fuse() { kind=exfat-fuse image mkfs.exfat; }
mount_ntfs-3g() { kind=ntfs-3g options='' image mkfs.ntfs -q -Q -F; }
mount_ntfs-3g-permissions() { kind=ntfs-3g options=permissions,acl image mkfs.ntfs -q -Q -F; }
mount_overlay() { try mount -t overlay -o lowerdir="$PWD/under,upperdir=$PWD/under2,workdir=$PWD/under3" overlay at; }
mount_bindfs() { try bindfs under at; }
mount_sshfs() { options='' ssh_mount; }
mount_sshfs-plain() { options=disable_hardlink,workaround=none,cache=no ssh_mount; }
mount_rclone() { pause=1; rclone_mount; }
mount_rclone-writes() { pause=10; rclone_mount --vfs-cache-mode writes --vfs-write-back 500ms; }
mount_rclone-full() { pause=10; rclone_mount --vfs-cache-mode full --vfs-write-back 500ms; }
mount_mergerfs() { try mergerfs -o allow_other under:under2 at; }
mount_mergerfs-rand() { try mergerfs -o allow_other,use_ino,category.create=rand under:under2:under3 at; }
mount_gocryptfs() {
    pause=1.2 # for one second, gocryptfs reports the encrypted size of a file that has got another name
    echo secret >password
    try gocryptfs -q -init -scryptn 10 -passfile password under && try gocryptfs -q -allow_other -passfile password under at
}
mount_ecryptfs() {
    grep -q ecryptfs /proc/filesystems || { why='the kernel has no ecryptfs'; return 1; }
    try mount -t ecryptfs -o key=passphrase:passphrase_passwd=x,ecryptfs_cipher=aes,ecryptfs_key_bytes=16,no_sig_cache,ecryptfs_passthrough=n,ecryptfs_enable_filename_crypto=y,ecryptfs_fnek_sig=,verbosity=0 under at
}
all="tmpfs ext4 ext4-128 xfs btrfs overlay fat exfat exfat-fuse ntfs-3g ntfs-3g-permissions bindfs sshfs sshfs-plain
     rclone rclone-writes rclone-full mergerfs mergerfs-rand gocryptfs ecryptfs"

# ------------------------------------------------------------------------------------------------- the runs

# Runs pcopy. Afterwards $code has its exit code, $summary its last line, and `errors` its other messages.
pcopy() {
    timeout 120 "$PCOPY" "$@" >output 2>messages </dev/null
    code=$?
    summary=$(grep -E '^(copied|compared|pcopy: stopped) ' messages | tail -n1)
    grep -v -E -e '^(copied|compared) ' -e '^ *[0-9]+% ' messages >errors
    $verbose && { echo "--- pcopy $* (exit code $code)"; cat messages; [ "$1" != --check ] || cat output; } >&2
    return 0
}

# Copies $1 to $2 twice with the other arguments as options, compares, and prints a line of the table for $3.
twice() {
    local source=$1 target=$2 label=$3 first second check
    shift 3
    pcopy -v "$@" -T "$source" "$target"
    first="$code, $(copied), $(wc -l <errors) lines"
    sleep "$pause"
    pcopy -v "$@" -T "$source" "$target"
    second="$code, $(copied)"
    pcopy --check --progress=always "$@" -T "$source" "$target"
    case $code in
        0) check=identical ;;
        6) check=${summary#*: } ;;
        *) check="exit code $code, ${summary#*: }" ;;
    esac
    printf '| %s | %s | %s | %s | %s |\n' "$label" "$first" "$second" "$check" \
        "$(timeout 120 python3 "$here/fuse/lost.py" "$source" "$target" 2>&1 | tail -n1)"
}

copied() { local number=${summary#copied }; case $summary in copied*) echo "copied ${number%% *}" ;; *) echo "${summary:-no summary}" ;; esac; }

plant mixed || exit 3
echo "| mount | first run: exit code, copied, messages | second run | --check | what the copy lacks |"
echo "|---|---|---|---|---|"
for name in ${*:-$all}; do
    mkdir -p at under under2 under3
    why= pause=0
    if ! mount_"$name"; then
        printf '| %s | not tried: %s | | | |\n' "$name" "${why:-it could not be mounted}"
    else
        twice mixed at/dst "$name, as target, -a" -a
        twice mixed at/plain "$name, as target"
        # What cp can store there is the source. Its messages about the rest do not matter here.
        cp -a mixed at/src >/dev/null 2>&1
        sleep "$pause"
        twice at/src copy "$name, as source, -a" -a
        rm -rf copy
        umount at || { sleep 2; umount -l at; }
        wait
    fi
    rm -rf at under under2 under3 cache image
done
