import { execFileSync } from "node:child_process";
import test from "ava";
import { composeGuestFiles } from "../../../xenod/daemon/guest-files.ts";

const deployment = { id: "12345678", overlay: "xenostore://demo/a", kernel: "template://K/1", memoryMiB: 64, cpus: 1 };
const text = (base64: string) => Buffer.from(base64, "base64").toString();

test("a shell reads from the environment's file what the deployment said", (t) => {
  const environment = { PLAIN: "a", EMPTY: "", QUOTES: `it's "so" \\ $HOME %n`, MORE: "é ü" };
  const [forShells, forSystemd] = composeGuestFiles({ ...deployment, environment });
  t.is(forShells.path, "/etc/xeno/environment");
  const script = `set -a; ${text(forShells.base64)} set +a; printf '%s\\n' "$PLAIN" "$EMPTY" "$QUOTES" "$MORE"`;
  t.is(execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" }), `a\n\nit's "so" \\ $HOME %n\né ü\n`);
  t.true(text(forSystemd.base64).includes(`DefaultEnvironment="QUOTES=it's \\"so\\" \\\\ $HOME %%n"\n`));
});

test("a file of the client's own comes after ours, so that it stays", (t) => {
  const files = [{ path: "/etc/xeno/environment", content: "mine", mode: "0600", uid: 5 }];
  const composed = composeGuestFiles({ ...deployment, environment: { A: "1" }, files });
  t.deepEqual(composed.at(-1), {
    path: "/etc/xeno/environment",
    base64: Buffer.from("mine").toString("base64"),
    mode: 0o600,
    uid: 5,
    gid: 0,
  });
  t.deepEqual(composeGuestFiles(deployment), []);
});

test("the agent that runs programs is laid where a deployment asks for it, and systemd starts it", (t) => {
  t.deepEqual(composeGuestFiles({ ...deployment, programs: false }), []);
  const [agent, next, service, wants] = composeGuestFiles({ ...deployment, programs: true });
  t.like(agent, { path: "/var/lib/xeno/programs/agent", mode: 0o755 });
  t.like(next, { path: "/var/lib/xeno/programs/next", mode: 0o644 });
  t.is(text(next!.base64).length, 4096);
  t.true(text(service!.base64).includes(`ExecStart=${agent!.path}\n`));
  t.regex(wants!.path, /^\/etc\/systemd\/system\/multi-user\.target\.d\/.*\.conf$/);
});

for (const [why, wrong] of [
  ["control characters", { environment: { A: "a\nb" } }],
  ["content twice", { files: [{ path: "/a", content: "a", base64: "YQ==" }] }],
  ["too much", { files: Array.from({ length: 3 }, (_, n) => ({ path: `/${n}`, content: "x".repeat(200_000) })) }],
] as const)
  test(`a deployment with ${why} is refused`, (t) => {
    t.throws(() => composeGuestFiles({ ...deployment, ...wrong } as never), { code: "files-invalid" });
  });
