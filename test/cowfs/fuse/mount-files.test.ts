/** `.mount` files that are written, changed and removed through a mount: the kernel believes nothing that was so before. */
import { release } from "node:os";
import test from "ava";
import { directory, file } from "../union/layers.ts";
import { openScratch } from "../union/scratch.ts";
import { mountForTest } from "./mounted.ts";

const layer = directory({ bin: directory({ tool: file("tool") }), both: file("the layer's"), only: file("only") });
const over = directory({ both: file("over"), bin: directory({ tool: file("over tool") }) });

/** What a kernel before 6.16 needs to be told by its user: see cowfs/fuse/README.md. */
const [major, minor] = release().split(".").map(Number);
const settle = major > 6 || (major === 6 && minor >= 16) ? ":" : "echo 2 > /proc/sys/vm/drop_caches";

test("a .mount shows at once, below it too, and is gone at once", async (t) => {
  const s = await openScratch(t, { layers: { "test://layer": layer, "test://over": over } });
  const { shell } = await mountForTest(t, s.fs);
  const look = `{ ls -a d d/bin; cat d/both d/bin/tool d/only || :; stat -c ' %h' d; } 2>&1 | tr -s '\\n ' ' '; echo`;
  const output = await shell(`
    mkdir -p d/bin; echo -n mine > d/bin/mine; echo -n "mine " > d/both
    ${look}
    echo test://layer > d/.mount; ${settle}
    ${look}
    printf 'test://over\\n.\\ntest://layer\\n' > d/.mount; ${settle}
    ${look}
    { echo x > d/both; } 2>&1 | grep -o 'Read-only file system'
    rm d/.mount; ${settle}
    ${look}`);
  t.deepEqual(output.split("\n"), [
    "d: . .. bin both d/bin: . .. mine mine cat: d/bin/tool: No such file or directory cat: d/only: No such file or directory 3 ",
    "d: . .. .mount bin both only d/bin: . .. mine tool mine toolonly 3 ",
    "d: . .. .mount bin both only d/bin: . .. mine tool overover toolonly 3 ",
    "Read-only file system",
    "d: . .. bin both d/bin: . .. mine mine cat: d/bin/tool: No such file or directory cat: d/only: No such file or directory 3 ",
  ]);
});

test("who stands in the directory, or has it open, sees the change as well", async (t) => {
  const s = await openScratch(t, { layers: { "test://layer": layer } });
  const { shell } = await mountForTest(t, s.fs);
  const output = await shell(`
    mkdir d; cd d; exec 9< .
    ls; ls /proc/self/fd/9; cat only 2> /dev/null || echo none
    echo test://layer > .mount; ${settle}
    ls | tr '\\n' ' '; ls /proc/self/fd/9 | tr '\\n' ' '; cat only; echo
    pwd | sed 's,.*/,,'
    mv .mount off; ${settle}
    ls; cat only 2> /dev/null || echo none`);
  t.deepEqual(output.split("\n"), ["none", "bin both only bin both only only", "d", "off", "none"]);
});

test("a .mount that cannot be honoured is an I/O error that can be mended through the mount", async (t) => {
  const s = await openScratch(t, { layers: { "test://layer": layer } });
  const { shell } = await mountForTest(t, s.fs);
  const output = await shell(`
    mkdir d; echo mine > d/f; cat d/f
    echo nonsense > d/.mount; ${settle}
    cat d/f 2>&1 | grep -o 'Input/output error'; ls d 2>&1 | grep -o 'Input/output error'; cat d/.mount
    echo test://layer > d/.mount; ${settle}
    cat d/f d/only`);
  t.is(output, "mine\nInput/output error\nInput/output error\nnonsense\nmine\nonly");
  t.regex(s.errors[0].message, /^\/d\/\.mount:1: 'nonsense' is not a URL/);
});

test("what is mounted inside stays mounted when a .mount changes, where that was said to be so", async (t) => {
  const s = await openScratch(t, { layers: { "test://layer": layer } });
  const { shell } = await mountForTest(t, s.fs, { holdsMounts: true });
  // A mount namespace of its own: whatever happens, the tmpfs ends with it.
  const output = await shell(`
    mkdir inside d
    unshare --mount --propagation private sh -euc '
      mount -t tmpfs tmpfs inside; echo kept > inside/file
      echo test://layer > d/.mount; ls d > /dev/null
      cat inside/file; umount inside'`);
  t.is(output, "kept");
});
