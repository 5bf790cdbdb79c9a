#!/usr/bin/env bash
# A machine of two nodes, two cores and four CPUs each, emulated: threads and weights lie where they should, and the logits are the
# bits of this machine. Needs qemu-system-x86_64, a static busybox and a kernel without modules for the console and memory
# (KERNEL=FILE, default /boot/vmlinuz-*; Debian: linux-image-cloud-amd64). Takes two minutes or so.
set -u
cd "$(dirname "$0")/../.."
moat=${MOAT:-build/moat} model=${MOAT_TEST_MODEL:-$(tools/default_model.sh --path)}
kernel=${KERNEL:-$(ls /boot/vmlinuz-* 2>/dev/null | tail -n 1)}
if ! command -v qemu-system-x86_64 cpio >/dev/null || ! [ -e "$kernel" ] || ! [ -x /bin/busybox ] || ! [ -e "$model" ]; then
    echo "no qemu-system-x86_64, cpio, busybox, kernel or model"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The emulated machine: a file system in memory whose init loads the model, looks at it and ends.
mkdir -p "$work"/root/{bin,dev,proc,sys,tmp,root}
cp /bin/busybox "$moat" "$work"/root/bin/
for name in sh mount cat echo sleep grep mkfifo poweroff; do ln -s busybox "$work/root/bin/$name"; done
hwloc=$(command -v hwloc-calc) && cp "$hwloc" "$work"/root/bin/
for library in $(ldd "$moat" $hwloc | sed -n 's/^[^:]*[ \t]\(\/[^ ]*\) (.*/\1/p' | sort -u); do
    mkdir -p "$work/root$(dirname "$library")" && cp -L "$library" "$work/root$library"
done
cp "$model" "$work/root/model.gguf"
cat >"$work/root/init" <<'END'
#!/bin/sh
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
export HOME=/root
echo
[ -x /bin/hwloc-calc ] && echo "hwloc $(hwloc-calc -N core all) $(hwloc-calc -N numanode all)"
mkfifo /tmp/in
moat logits /model.gguf --jsonl </tmp/in >/tmp/out &
exec 3>/tmp/in
echo '[1,2,3,4]' >&3
while [ -d /proc/$! ] && ! grep -q sha256 /tmp/out; do sleep 1; done
for thread in /proc/$!/task/*; do echo "thread $(grep Cpus_allowed_list $thread/status)"; done
grep -E 'prefer|interleave' /proc/$!/numa_maps | while read at; do echo "memory $at"; done
echo "logits $(cat /tmp/out)"
poweroff -f
END
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
timeout 900 qemu-system-x86_64 -accel tcg,thread=multi -cpu max,vendor=GenuineIntel -smp 8,sockets=2,cores=2,threads=2 -m 1536 \
    -object memory-backend-ram,id=m0,size=768M -object memory-backend-ram,id=m1,size=768M \
    -numa node,cpus=0-3,memdev=m0 -numa node,cpus=4-7,memdev=m1 -kernel "$kernel" -initrd "$work/initrd" \
    -append 'console=ttyS0 quiet panic=-1' -nographic -no-reboot >"$work/raw" 2>&1 </dev/null
tr -d '\r' <"$work/raw" >"$work/out"
grep -E '^(hwloc|thread|memory|logits) ' "$work/out"

passed=0 failed=0
check() { # NAME WANT GOT
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAIL: $1: $3, not $2"; fi
}
count() {
    grep -cE "$1" "$work/out"
}
check "a thread a core, two a node" "2 2" "$(count '^thread .*0-3$') $(count '^thread .*4-7$')"
[ -z "$hwloc" ] || check "cores and nodes as hwloc counts them" "hwloc 4 2" "$(grep '^hwloc ' "$work/out")"
check "the weights of each node, elsewhere" "0" "$(count 'prefer:0 .* N1=|prefer:1 .* N0=')"
check "both nodes have some" "yes yes" "$([ "$(count 'prefer:0 .* N0=')" -gt 0 ] && echo yes) $([ "$(count 'prefer:1 .* N1=')" -gt 0 ] && echo yes)"
check "the cache is spread" "yes" "$([ "$(count 'interleave:0-1')" -gt 0 ] && echo yes)"
check "the logits" "logits $(echo '[1,2,3,4]' | "$moat" logits "$model" --jsonl)" "$(grep '^logits ' "$work/out")"
[ $failed = 0 ] || tail -n 20 "$work/out"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
