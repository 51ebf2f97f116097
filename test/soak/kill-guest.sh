#!/bin/busybox sh
# The guest of `npm run soak -- kill`: changes its root all the time, and says on the console when something is not as it
# left it. Each step fails if it was done twice: a name that is there already, or is gone.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t tmpfs tmpfs /tmp

fail() {
  echo "guest: ERROR in round $n: $*"
}

check_all() {
  echo 3 >/proc/sys/vm/drop_caches
  for sum in /tmp/sums/*; do
    [ -e "$sum" ] || continue
    file=/data/$(basename "$sum")
    [ "$(md5sum <"$file")" = "$(cat "$sum")" ] || fail "$file is not what it was"
  done
  found=$(ls /data | wc -l)
  expected=$(ls /tmp/sums | wc -l)
  [ "$found" = "$expected" ] || fail "$found files, and there should be $expected"
}

mkdir /tmp/sums
rm -rf /data/*
echo "guest: up"
n=0
while true; do
  n=$((n + 1))
  dd if=/dev/urandom of=/tmp/content bs=1000 count=$((n % 40 + 1)) 2>/dev/null
  mkdir /work/$n || fail mkdir
  cp /tmp/content /work/$n/new || fail cp
  sync -d /work/$n/new || fail "sync -d"
  ln /work/$n/new /work/$n/link || fail ln
  echo more >>/work/$n/link || fail append
  echo more >>/tmp/content
  mv /work/$n/new /data/$n || fail mv
  rm /work/$n/link || fail rm
  (set -C && echo x >/work/$n/only) 2>/dev/null || fail "exclusive create"
  chmod 600 /data/$n || fail chmod
  ln -s $n /work/$n/symlink || fail "ln -s"
  rm /work/$n/only /work/$n/symlink || fail "rm of two"
  rmdir /work/$n || fail rmdir
  cmp /tmp/content /data/$n || fail cmp
  md5sum </tmp/content >/tmp/sums/$n
  if [ $n -gt 40 ]; then
    rm /data/$((n - 40)) || fail "rm of an old one"
    rm /tmp/sums/$((n - 40))
  fi
  [ $((n % 10)) != 0 ] || check_all
  echo "guest: OK $n"
done
