/** What an older XenoServer wrote, as it wrote it: a newer one reads it (format 1 of December 2026, before restart policies). */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { type DomainRecord, DomainRecords } from "../../../xenod/daemon/domain-record.ts";
import { composeGuestFiles } from "../../../xenod/daemon/guest-files.ts";
import { describeExport, type Host } from "../../../xenod/daemon/host.ts";
import { Restarts } from "../../../xenod/daemon/restarts.ts";
import { TaskList } from "../../../xenod/daemon/task-list.ts";

const tree = "a063617a1809595371999e4fad15bac035fd1434df4dfe8c3fef20b7b08f2203";
const record = `{"format":1,"name":"apache","deployment":{"id":"3f1c9a52-7f4e-4e3c-9d7a-0c6de3a8f111","overlay":"xenostore://demo/apache","kernel":"template://Debian-kernel/6.1/current","memoryMiB":512,"cpus":1},"task":"0b9f4f0e-0000-4000-8000-000000000001","overlayTree":"${tree}","kernelTree":"${tree}","intent":"running","state":"running","address":"10.77.1.1","link":true,"exported":true,"steps":{"accepted":1795737600000,"kernel":1795737601000,"init":1795737609000}}\n`;
const task = `{"format":1,"id":"0b9f4f0e-0000-4000-8000-000000000001","kind":"deploy","domain":"apache","request":"3f1c9a52-7f4e-4e3c-9d7a-0c6de3a8f111","created":1795737600000,"state":"done","version":10,"progress":[{"step":"accepted","at":1795737600000}],"result":{"domain":"apache"},"ended":1795737609000}\n`;

async function makeState(t: ExecutionContext, text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "xeno-older-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await mkdir(join(directory, "domains/apache"), { recursive: true });
  await writeFile(join(directory, "domains/apache/record.json"), text);
  await mkdir(join(directory, "tasks"));
  await writeFile(join(directory, "tasks/0b9f4f0e-0000-4000-8000-000000000001.json"), task);
  return directory;
}

test("an older XenoServer's domain is one that asks for nothing new, and its export the same as it was", async (t) => {
  const directory = await makeState(t, record);
  const records = new DomainRecords(join(directory, "domains"));
  await records.load();
  const apache = records.get("apache");
  t.deepEqual(composeGuestFiles(apache.deployment), []);
  const host = { name: "a", linkPrefix: "xeno-0", records, ports: { isOnHost: false } } as unknown as Host;
  t.deepEqual(JSON.parse(JSON.stringify(describeExport(host, apache))), {
    url: "xenostore://demo/apache",
    tree,
    journal: join(directory, "domains/apache/journal"),
    listen: { namespace: "xeno-0.a.apache", host: "169.254.1.1", port: 2049 },
  });
  const restarts = new Restarts({ start: async () => t.fail(), onFailed: () => {}, signal: AbortSignal.abort() });
  t.notThrows(() => restarts.consider({ ...apache, state: "crashed" } as DomainRecord));
  const tasks = new TaskList(join(directory, "tasks"), () => {});
  await tasks.load();
  t.like(tasks.findByRequest(apache.deployment.id), { state: "done", domain: "apache" });
});

test("what a newer XenoServer wrote is refused, and left as it is", async (t) => {
  const directory = await makeState(t, record.replace('"format":1', '"format":2'));
  const records = new DomainRecords(join(directory, "domains"));
  await t.throwsAsync(records.load(), {
    code: "state-damaged",
    message: /it has format 2, and this program knows up to 1/,
  });
});
