#!/bin/busybox sh
# From Xen's dom0 kernel to the root on the first disk.
/bin/busybox mount -t devtmpfs none /dev
exec </dev/console >/dev/console 2>&1
/bin/busybox --install -s /bin
while read -r module; do insmod "/modules/$module"; done </modules/list
tries=0
until [ -e /dev/vda ] || [ $tries -ge 100 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
mount -t ext4 /dev/vda /root
cp /dom0-init /serve-shell /root/sbin/
mount -o move /dev /root/dev
exec switch_root -c /dev/console /root /sbin/dom0-init
