#!/bin/bash
# A cell of AFS (Debian's OpenAFS: bosserver, ptserver, vlserver, fileserver, and its client in user space) in mount, network and
# process namespaces of its own, and a command in it:
#
#   unshare --mount --net --uts --pid --fork --kill-child bash afs-cell.sh DIRECTORY COMMAND…
#
# DIRECTORY holds the packages unpacked, in `packages`. The root is the machine's own, with those laid over it in memory. Without
# Kerberos: everybody may do everything, for the rules are of files and not of who may.
set -e
if [ "$1" != inside ]; then
  directory=$1 script=$(realpath "$0"); shift
  scratch=$directory/scratch
  mkdir -p "$scratch"; mount -t tmpfs none "$scratch"; mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
  cp -a "$directory/packages/." "$scratch/upper"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
  mount -t proc proc "$scratch/root/proc"; mount --rbind /dev "$scratch/root/dev"; mount -t tmpfs none "$scratch/root/tmp"
  exec chroot "$scratch/root" bash "$script" inside "$@"
fi
shift
name=cell.example address=10.99.0.2
ip link set lo up
ip link add cell0 type veth peer name cell1; ip addr add $address/24 dev cell0; ip link set cell0 up; ip link set cell1 up
hostname cell; printf '127.0.0.1 localhost\n%s cell\n' $address >/etc/hosts
mkdir -p /vicepa /afs /etc/openafs/server /var/lib/openafs/{db,local,logs} /var/log/openafs /var/cache/openafs
touch /vicepa/AlwaysAttach
for place in /etc/openafs /etc/openafs/server; do
  echo $name >$place/ThisCell; printf '>%s #\n%s #cell\n' $name $address >$place/CellServDB
done
echo /afs:/var/cache/openafs:100000 >/etc/openafs/cacheinfo
# Until they have elected each other the servers answer with failures, some 30 s.
patiently() { for try in $(seq 120); do "$@" >/tmp/said 2>&1 && return; sleep 1; done; cat /tmp/said; return 1; }
bosserver -noauth
patiently bos create $address ptserver simple /usr/lib/openafs/ptserver -noauth
patiently bos create $address vlserver simple /usr/lib/openafs/vlserver -noauth
patiently bos create $address fs fs -cmd /usr/lib/openafs/fileserver -cmd /usr/lib/openafs/volserver -cmd /usr/lib/openafs/salvager -noauth
for volume in root.afs root.cell; do
  patiently vos create $address a $volume -noauth
  # Its directory is its administrators' (-204), of whom there are none: in the dump it becomes anyuser's (-101).
  vos dump $volume -file /tmp/dump -noauth
  sed -i 's/\xff\xff\xff\x34\x00\x00\x00\x7f/\xff\xff\xff\x9b\x00\x00\x00\x7f/' /tmp/dump
  vos restore $address a $volume -file /tmp/dump -overwrite full -noauth
done
afsd.fuse -memcache -dynroot -f &
patiently ls /afs/.$name
"$@" /afs/.$name
