import { fork } from "node:child_process";
import { once } from "node:events";
import test from "ava";
import { configureDevices, createNamespace, deleteNamespace, namespacePath } from "../../../xenod/links/namespaces.ts";
import { resetConnections } from "../../../xenod/links/reset-connections.ts";

const namespace = `xeno-reset-${process.pid}`;

test.before(async () => {
  await createNamespace(namespace, { settings: [], devices: [] });
  await configureDevices(namespace, ["addr add 169.254.1.1/32 dev lo", "addr add 169.254.1.2/32 dev lo"]);
});
test.after.always(() => deleteNamespace(namespace));

test("a client whose server is gone notices when it is told, and not by itself", async (t) => {
  const program = new URL("half-open-client.ts", import.meta.url).pathname;
  const child = fork(program, [], {
    execPath: "nsenter",
    execArgv: [`--net=${namespacePath(namespace)}`, process.execPath, "--no-warnings"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const [{ port }] = await once(child, "message");
  const noticed = once(child, "message");
  t.is(await Promise.race([noticed, new Promise((resolve) => setTimeout(resolve, 500, "nothing"))]), "nothing");
  await resetConnections(namespace, [port]);
  t.deepEqual((await noticed)[0], { noticed: "ECONNRESET" });
});

test("a namespace that is gone is told", async (t) => {
  await t.throwsAsync(resetConnections(`${namespace}-none`, [700]), { code: "reset-failed" });
  await t.notThrowsAsync(resetConnections(`${namespace}-none`, []), "where no connection was cut, nothing is sent");
});
