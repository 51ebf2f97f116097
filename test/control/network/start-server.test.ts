import { randomBytes } from "node:crypto";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { startServer } from "../../../control/network/start-server.ts";
import { joinNames, listProcesses } from "../../../xenod/links/namespaces.ts";
import { claimPrefix, sweepLinks } from "../../../xenod/links/sweep.ts";
import { makeStore } from "../../xenod/published.ts";

async function prepare(t: ExecutionContext) {
  const { directory, storeDirectory: store, trustDirectory } = await makeStore(t);
  const prefix = `xeno-t${randomBytes(3).toString("hex")}`;
  const records = join(directory, "links");
  await claimPrefix(prefix, records);
  t.teardown(async () => void (await sweepLinks(prefix, records)));
  const start = { prefix, name: "a", number: 1, stateDirectory: join(directory, "a"), store, trustDirectory };
  return { start, runs: async () => (await listProcesses(joinNames(prefix, "a"))).length > 0 };
}

test("a XenoServer that is not waited for any more is ended before its start rejects", async (t) => {
  const { start, runs } = await prepare(t);
  const reason = new Error("not waited for");
  await t.throwsAsync(startServer({ ...start, signal: AbortSignal.abort(reason) }), { is: reason });
  t.false(await runs());
});

test("a XenoServer that ends at its start is told of, with the end of its log", async (t) => {
  const { start, runs } = await prepare(t);
  const { signal } = new AbortController();
  await t.throwsAsync(startServer({ ...start, store: "nowhere://", signal }), {
    code: "server-failed",
    message: /nowhere:/,
  });
  t.false(await runs());
});
