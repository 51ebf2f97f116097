/** A XenoServer that reads from a bucket, and a client that publishes to it, on a real S3 service; as the README types it. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { execa } from "execa";
import { localPrefix } from "../../control/cli/run-server.ts";
import { sweepLinks } from "../../xenod/links/sweep.ts";
import { makeXeno, poll } from "../control/cli/xeno.ts";
import { startRadosGateway } from "../xenostore/services/rados-gateway.ts";
import { buildTestKernel } from "./guest-kernel.ts";

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
echo "guest: up" >/dev/console
while true; do sleep 1; done
`;

test("a guest boots from a bucket, whose sweep keeps what it needs; the secret shows nowhere", async (t) => {
  const gateway = await startRadosGateway(t);
  Object.assign(process.env, gateway.credentials);
  const xeno = await makeXeno(t);
  const store = await gateway.makeBucket();
  const used = await xeno.json("store", "use", store);
  t.like(used, { store, writes: "yes", conditions: "If-None-Match atomic, If-Match atomic with plain ETags" });
  for (const name of ["demo", "templates"]) await xeno.newKey(name);
  await xeno.json("template", "import", "Debian-kernel/6.1", "--directory", await buildTestKernel());
  const places = Object.fromEntries(["dev", "proc", "sys", "root", "tmp"].map((name) => [`${name}/.keep`, ""]));
  const base = await xeno.write("base", { "bin/busybox": await readFile("/bin/busybox"), ...places });
  await execa("chmod", ["755", join(base, "bin/busybox")]);
  const { url } = await xeno.json("template", "import", "base", "--directory", base);
  const overlay = await xeno.write("overlay", { "sbin/init": init, ".mount": `.\nro ${url}\n` });
  await execa("chmod", ["755", join(overlay, "sbin/init")]);
  const published = await xeno.json("publish", overlay, "xenostore://demo/app@1");

  t.teardown(async () => {
    for (const { name } of await xeno.json("server", "ls")) await xeno.run(["server", "stop", name, "--grace", "1"]);
    await sweepLinks(localPrefix(xeno.home));
  });
  const server = await xeno.start(["server", "run", "--name", "a", "--listen", "127.0.0.1:0"]);
  const [deployed] = await xeno.json("deploy", "xenostore://demo/app", "--on", "a", "--memory", "128");
  t.falsy(deployed.error);

  // Overlay and kernel at once, and what the overlay lies over when that is mounted.
  await poll("the pin", async () => (await xeno.json("store", "pins"))[0]?.trees === 3, 180_000);
  await xeno.json("overlay", "rm", "xenostore://demo/app");
  await xeno.json("store", "gc", "--grace", "0");
  await xeno.json("store", "gc", "--grace", "0");
  const { keys } = await xeno.json("store", "gc", "--dry-run", "--grace", "0");
  t.deepEqual(keys, []);
  t.deepEqual(JSON.parse((await xeno.run(["store", "check", "--json"])).stdout).problems, []);

  const secret = gateway.credentials.AWS_SECRET_ACCESS_KEY;
  for (const process of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${process}/cmdline`, "latin1").catch(() => "");
    if (!line.startsWith("radosgw-admin")) t.false(line.includes(secret), line);
  }
  const logs = await readFile(join(xeno.home, "servers/a/file-server.log"), "utf8");
  t.false(`${logs}${server.stderr()}`.includes(secret));

  await xeno.json("server", "stop", "a", "--grace", "1", "--remove");
  t.deepEqual(await xeno.json("store", "pins"), []);
  await xeno.json("store", "gc", "--grace", "0");
  await xeno.json("store", "gc", "--grace", "0");
  const { code, message } = await xeno.fail(["overlay", "show", "xenostore://demo/app@1"]);
  t.regex(`${code} ${message}`, /overlay-unknown/);
  t.truthy(published.tree);
});
