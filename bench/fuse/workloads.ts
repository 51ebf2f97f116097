/** What is done to a mounted directory: one shell command each, timed from the start of its process to its end. */

export interface Workload {
  readonly name: string;
  /** Run with the directory as `$1` and the number of the run as `$2`. */
  readonly script: string;
}

export const workloads: readonly Workload[] = [
  { name: "stat everything", script: `find "$1" -printf '%s %T@ %m\\n' > /dev/null` },
  { name: "list names", script: `find "$1" -name nothing` },
  { name: "read everything", script: `grep -rc file "$1" > /dev/null` },
  // Into a pipe: GNU tar reads nothing when it sees that its archive is /dev/null.
  { name: "tar out", script: `tar -cf - -C "$1" packed | cat > /dev/null` },
  { name: "tar in", script: `mkdir "$1/unpacked-$2" && tar -xf "$1/packed.tar" -C "$1/unpacked-$2"` },
  {
    name: "build",
    script: `mkdir "$1/built-$2" && cd "$1/built-$2" && gcc -O1 -c ../source/*.c && gcc -o program *.o && ./program`,
  },
  { name: "remove", script: `rm -r "$1/unpacked-$2" "$1/built-$2"` },
  { name: "change 100 files", script: `find "$1/packed" -name "f*$2" | head -n 100 | xargs chmod 600` },
];
