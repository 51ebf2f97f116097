import test from "ava";
import { FileType } from "../../../cowfs/file-system.ts";
import { createModel } from "../model/model.ts";
import { root } from "../posix-rules/world.ts";
import { mountForTest } from "./mounted.ts";

/** [what holds, script, what it prints]; each on a fresh mount with set-ID bits and devices allowed. */
const scripts: readonly (readonly [sentence: string, script: string, output: string])[] = [
  ["what is written is read", "printf hello > f; cat f; printf ' you' >> f; cat f", "hellohello you"],
  [
    "a name is looked up, also when it is not there",
    "touch a; test -e a; ! test -e b; touch b; test -e b; rm b; ! test -e b",
    "",
  ],
  [
    "O_TRUNC cuts, and truncate makes holes",
    "echo abc > f; : > f; stat -c %s f; truncate -s 5 f; od -An -c f | tr -d ' '",
    "0\n\\0\\0\\0\\0\\0",
  ],
  [
    "directories are made, counted and removed",
    "mkdir -p a/b a/c; stat -c %h a; rmdir a/b; stat -c %h a; ! rmdir a 2>/dev/null",
    "4\n3",
  ],
  ["hard links share an inode", "echo x > a; ln a b; stat -c %h b; test a -ef b; rm a; cat b", "2\nx"],
  [
    "symbolic links lead and are read",
    "echo x > a; ln -s a l; readlink l; cat l; ln -s nowhere m; ! cat m 2>/dev/null",
    "a\nx",
  ],
  ["renaming replaces", "echo new > a; echo old > b; mv a b; cat b; ls", "new\nb"],
  ["renaming without replacing leaves what is there", "echo new > a; echo old > b; mv -n a b; cat b; ls", "old\na\nb"],
  [
    "a directory moves with what is in it",
    "mkdir -p a/b c; stat -c %h c . a; echo x > a/b/f; mv a c; cat c/a/b/f; stat -c %h c .",
    "2\n4\n3\nx\n3\n3",
  ],
  [
    "special files keep type and numbers",
    "mknod c c 1 3; mknod b b 4095 1048575; mkfifo p; stat -c '%F %t:%T' c b p; echo x > c",
    "character special file 1:3\nblock special file fff:fffff\nfifo 0:0",
  ],
  [
    "times are exact to the nanosecond, before 1970 too",
    "touch -d '1960-01-02 03:04:05.123456789 UTC' f; TZ=UTC stat -c %y f",
    "1960-01-02 03:04:05.123456789 +0000",
  ],
  ["modes and owners are set", "touch f; chown 5:6 f; chmod 4751 f; stat -c '%u:%g %a' f", "5:6 4751"],
  [
    "chown takes set-ID bits, a write by root does not",
    "touch f; chmod 6755 f; echo x > f; stat -c %a f; chown 5 f; stat -c %a f",
    "6755\n755",
  ],
  ["names may be any bytes", "touch \"$(printf '\\377\\376 \\001')\"; ls | od -An -tx1", " ff fe 20 01 0a"],
  ["255 bytes are a name, 256 are not", "n=$(printf %0255d 0); touch $n; ls | wc -c; ! touch 0$n 2>/dev/null", "256"],
  [
    "a file without a name is still read and written",
    "exec 3<>f; echo one >&3; rm f; echo two >&3; cat /proc/self/fd/3; stat -L -c %h /proc/self/fd/3",
    "one\ntwo\n0",
  ],
  ["a replaced file is still read", "echo old > f; exec 3<f; echo new > g; mv g f; cat <&3; cat f", "old\nnew"],
  [
    "appending never overwrites",
    "for i in 1 2 3 4; do (for j in $(seq 50); do echo line >> f; done) & done; wait; wc -l < f; sort -u f",
    "200\nline",
  ],
  ["programs run from it", "printf '#!/bin/sh\\necho ran\\n' > p; chmod +x p; ./p; cp /bin/true t; ./t", "ran"],
  ["copying keeps holes' content", "truncate -s 100000 f; echo x >> f; cp f g; cmp f g; stat -c %s g", "100002"],
  ["df knows its size", "stat -f -c '%S %l' .", "4096 255"],
  [
    "fsync of files and directories succeeds",
    "dd if=/dev/zero of=f bs=4k count=3 conv=fsync 2>/dev/null; sync f .; stat -c %s f",
    "12288",
  ],
  ["locks work among processes", "exec 3>l; flock -n 3; ! flock -n l true; flock -u 3; flock -n l echo free", "free"],
  ["a working directory that was removed is empty", "mkdir d; cd d; rmdir ../d; ls; ! touch f 2>/dev/null", ""],
];

for (const [sentence, script, output] of scripts) {
  test(sentence, async (t) => {
    const { shell } = await mountForTest(t, createModel(), { allowDevices: true, allowSetuid: true });
    t.is(await shell(script), output);
  });
}

test("thousands of entries are each listed once, with and without their attributes", async (t) => {
  const fileSystem = createModel();
  fileSystem.transact(undefined, () => {
    for (let index = 0; index < 3000; index++) {
      const name = `entry-${index}-${"x".repeat(index % 200)}`;
      fileSystem.createFile(root, fileSystem.rootId, name, { mode: 0o644 }, { kind: "guarded" });
    }
    return Buffer.alloc(0);
  });
  const { shell } = await mountForTest(t, fileSystem);
  t.is(await shell("ls -f | sort -u | wc -l; ls -l | sort -u | wc -l; find . -type f | wc -l"), "3002\n3001\n3000");
});

test("removing while listing removes all", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  t.is(await shell("mkdir d; cd d; seq 2000 | xargs touch; cd ..; rm -r d; ls"), "");
});

test("large files are the same when they are read again from us", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  const make = "yes 'the same bytes' | head -c 5000001";
  const [written, read] = (
    await shell(`
      ${make} | sha256sum
      ${make} > f
      dd if=f iflag=nocache count=0 2>/dev/null
      sha256sum < f`)
  ).split("\n");
  t.is(read, written);
});

test("what the caller makes is the caller's, and the directory's group where it is set-group-ID", async (t) => {
  const { shell, shellAsAlice } = await mountForTest(t, createModel());
  await shell("chmod 777 .; mkdir shared; chgrp 2000 shared; chmod 2777 shared");
  const output = await shellAsAlice(
    "umask 022; touch f shared/f; mkdir d shared/d; ln -s x l; mkfifo p; stat -c '%n %u:%g %a' f d l p shared/f shared/d",
  );
  t.is(
    output,
    "f 1000:1000 644\nd 1000:1000 755\nl 1000:1000 777\np 1000:1000 644\nshared/f 1000:2000 644\nshared/d 1000:2000 2755",
  );
});

test("callers are refused what they may not, and allowed what a supplementary group may", async (t) => {
  const { shell, shellAsAlice } = await mountForTest(t, createModel());
  await shell(`
    echo secret > secret; chmod 600 secret
    echo group > group; chgrp 2000 group; chmod 660 group
    mkdir -m 1777 sticky; touch sticky/roots; mkdir -m 700 closed; touch closed/f`);
  t.is(await shellAsAlice("cat group; echo more >> group; cat group"), "group\ngroup\nmore");
  for (const command of [
    "cat secret",
    "echo x >> secret",
    "touch new",
    "rm -f group",
    "rm -f sticky/roots",
    "ls closed/f",
    "chmod 777 secret",
    "chown 1000 secret",
  ]) {
    await t.throwsAsync(shellAsAlice(command), { message: /Permission denied|Operation not permitted/ }, command);
  }
});

test("a descriptor that was opened for writing writes on after chmod 0", async (t) => {
  const { shell, shellAsAlice } = await mountForTest(t, createModel());
  await shell("chmod 777 .");
  t.is(await shellAsAlice("exec 3>f; chmod 0 f; echo x >&3; stat -c '%s %a' f"), "2 0");
});

test("a write or truncation by others than root takes set-ID bits", async (t) => {
  const { shell, shellAsAlice } = await mountForTest(t, createModel(), { allowSetuid: true });
  await shell("for f in a b c; do touch $f; chmod 6777 $f; done");
  t.is(await shellAsAlice("echo x > a; echo x >> b; truncate -s 3 c; stat -c %a a b c"), "777\n777\n777");
});

test("extended attributes are set, listed, replaced and removed", async (t) => {
  const { shell } = await mountForTest(t, createModel());
  const script = `
import os
open("f", "w").close()
os.setxattr("f", "user.a", b"one\\0two")
os.setxattr("f", "user.a", b"three", os.XATTR_REPLACE)
os.setxattr("f", "trusted.t", b"", os.XATTR_CREATE)
print(sorted(os.listxattr("f")), os.getxattr("f", "user.a"))
for call in (lambda: os.setxattr("f", "user.a", b"", os.XATTR_CREATE), lambda: os.getxattr("f", "user.none"),
             lambda: os.setxattr("f", "other.a", b"x"), lambda: os.removexattr("f", "user.none")):
    try: call()
    except OSError as error: print(error.errno)
os.removexattr("f", "user.a")
print(os.listxattr("f"))
`;
  const output = await shell(`python3 -c '${script}'`);
  t.is(output, "['trusted.t', 'user.a'] b'three'\n17\n61\n95\n61\n['trusted.t']");
});

test("without being asked for, devices and set-user-ID programs do not work; read-only is read-only", async (t) => {
  const { shell, shellAsAlice } = await mountForTest(t, createModel());
  await shell("mknod null c 1 3; chmod 666 null; cp $(command -v id) id; chmod 4755 id");
  await t.throwsAsync(shell("echo x > null"), { message: /Permission denied/ });
  t.is(await shellAsAlice("./id -u"), "1000");
  const suid = await mountForTest(t, createModel(), { allowSetuid: true });
  await suid.shell("cp $(command -v id) id; chmod 4755 id");
  t.is(await suid.shellAsAlice("./id -u"), "0");
  const readOnly = await mountForTest(t, createModel(), { readOnly: true });
  await t.throwsAsync(readOnly.shell("touch f"), { message: /Read-only/ });
});

test("where others write too, what they did is seen at once", async (t) => {
  const fileSystem = createModel();
  const { shell } = await mountForTest(t, fileSystem, { validSeconds: 0 });
  await shell("echo old > f; cat f; ! test -e g");
  const id = fileSystem.lookup(root, fileSystem.rootId, "f");
  fileSystem.transact(undefined, () => {
    fileSystem.write(root, id, 0, Buffer.from("new!\n"));
    fileSystem.rename(root, fileSystem.rootId, "f", fileSystem.rootId, "g");
    return Buffer.alloc(0);
  });
  t.is(await shell("cat g; ls; ! test -e f"), "new!\ng");
  t.is(fileSystem.getAttributes(id).mode & FileType.mask, FileType.regular);
});
