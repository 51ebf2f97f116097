#!/bin/sh
# Runs the programs that this machine's XenoServer lays in /var/lib/xeno/programs, for dash and busybox. It is here because whoever
# deployed this domain asked for it. xenod/programs/README.md says how the two sides talk.
cd "${1:-/var/lib/xeno/programs}" || exit 1

# ID WORDS: how it ended, whole or not at all. What is known already stays.
finish() { [ -e "$1.status" ] || { echo "$2" >"$1.ending" && mv "$1.ending" "$1.status"; }; }

# ID ENTRY, in a session of its own. Its output is a file and no pipe: what it has printed is there, however it ends.
run='how=unusable
if tar -xf "$0.tar" -C "$0"; then
  (cd "$0" && exec "./$1") >"$0.output" 2>&1
  how="exited $?"
fi
rm -f "$0.tar"
echo "$how" >"$0.ending" && mv "$0.ending" "$0.status"'

# A directory without a status: it ran when this machine went down. Nothing runs twice.
for each in */; do [ -d "$each" ] && finish "${each%/}" lost; done
running=
while sleep 1; do
  read -r now _ </proc/uptime && now=${now%%.*}
  # The kernel believes to know this file, and asks what is in it with O_DIRECT only.
  list=$(dd if=next iflag=direct bs=4096 count=1 2>/dev/null)
  case $list in "xeno-programs 1"*end) ;; *) continue ;; esac
  left=
  for each in $running; do
    IFS=: read -r id pid until most <<EOF
$each
EOF
    [ -e "$id.status" ] && continue
    why=
    [ "$now" -lt "$until" ] || why=timeout
    printed=$(stat -c %s "$id.output" 2>/dev/null)
    [ "${printed:-0}" -le "$most" ] || why=output
    case $list in *"$id "*) ;; *) why=cancelled ;; esac
    if [ -z "$why" ]; then left="$left $each"; continue; fi
    kill -KILL "-$pid" 2>/dev/null
    finish "$id" "$why"
  done
  running=$left
  while read -r id seconds bytes entry; do
    [ -n "$entry" ] && [ ! -e "$id.status" ] && mkdir "$id" 2>/dev/null || continue
    setsid sh -c "$run" "$id" "$entry" </dev/null >/dev/null 2>&1 &
    running="$running $id:$!:$((now + seconds)):$bytes"
  done <<EOF
${list%end}
EOF
  # What is no longer listed nobody asks for any more.
  for each in *.status; do
    id=${each%.status}
    case $list in *"$id "*) ;; *) rm -rf "$id" "$id.tar" "$id.output" "$id.status" ;; esac
  done
done
