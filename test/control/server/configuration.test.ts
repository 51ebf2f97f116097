import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { parsePortRange, readConfiguration } from "../../../control/server/configuration.ts";

async function write(t: ExecutionContext, text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "xeno-conf-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, "a.json"), text);
  return join(directory, "a.json");
}

for (const [wrong, reason] of [
  ["{", /a\.json is no configuration of a XenoServer: .*JSON/],
  ["{}", /it must have required properties name/],
  ['{"name": "a", "colour": 1}', /\/colour is no known property/],
  ['{"name": "a", "guests": {"addresses": "10.0.0.0/24"}}', /\/guests must have required properties device/],
  ['{"name": "a", "guests": {"addresses": "x", "device": "eth0"}}', /\/guests\/addresses must match/],
  ['{"name": "a", "guests": {"addresses": "10.0.0.0/24", "device": "eth0; reboot"}}', /\/guests\/device must match/],
  ['{"name": "a", "cacheSize": "much"}', /\/cacheSize must match/],
  ['{"name": "a", "workers": 0}', /\/workers must be >= 1/],
  ['{"name": "a", "xenGuests": "hvm"}', /\/xenGuests must be equal to one of/],
  ['{"name": "a", "ioErrorsAfter": 0}', /\/ioErrorsAfter must be >= 1/],
] as const)
  test(`a configuration is refused: ${wrong}`, async (t) => {
    const file = await write(t, wrong);
    await t.throwsAsync(readConfiguration(file), { code: "configuration-invalid", message: reason });
  });

test("paths are from the file's own directory; a store may be a URL", async (t) => {
  const file = await write(t, '{"name": "a", "state": "state", "trust": "/etc/keys", "store": "../store"}');
  const directory = join(file, "..");
  t.deepEqual(await readConfiguration(file), {
    name: "a",
    state: join(directory, "state"),
    trust: "/etc/keys",
    store: join(directory, "../store"),
  });
  const remote = await write(t, '{"name": "a", "store": "https://store.example/"}');
  t.is((await readConfiguration(remote)).store, "https://store.example/");
});

test("ranges of ports have a first and a last", (t) => {
  t.deepEqual(parsePortRange("20000-29999"), { first: 20_000, last: 29_999 });
  for (const wrong of ["0-1", "2-1", "1-65536"])
    t.throws(() => parsePortRange(wrong), { code: "configuration-invalid" });
});
