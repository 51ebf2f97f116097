import test, { type ExecutionContext } from "ava";
import { execa } from "execa";
import {
  configureDevices,
  createNamespace,
  deleteNamespace,
  listNamespaces,
  type NamespaceConfiguration,
} from "../../../xenod/links/namespaces.ts";
import { systemEnvironment } from "../../../xenod/system-path.ts";

const configuration = {
  settings: ["net/ipv4/ip_forward=1"],
  devices: ["link add br0 type bridge"],
  rules: "table ip ours { }",
};
let count = 0;

/** A name that no other test has; gone when the test ends. */
function choose(t: ExecutionContext): string {
  const name = `xeno-test-ns-${process.pid}-${count++}`;
  t.teardown(() => deleteNamespace(name));
  return name;
}

async function look(namespace: string, ...command: string[]): Promise<string> {
  return (await execa("ip", ["netns", "exec", namespace, ...command], { env: systemEnvironment })).stdout;
}

test("a namespace has its settings, devices and rules, and one that is found made is left alone", async (t) => {
  const name = choose(t);
  await createNamespace(name, configuration);
  t.is(await look(name, "cat", "/proc/sys/net/ipv4/ip_forward"), "1");
  t.regex(await look(name, "ip", "link", "show", "br0"), /br0/);
  t.regex(await look(name, "nft", "list", "tables"), /table ip ours/);
  await configureDevices(name, ["link add br1 type bridge"]);
  await createNamespace(name, configuration);
  t.regex(await look(name, "ip", "link", "show", "br1"), /br1/, "what came later is still there");
  await createNamespace(name, { ...configuration, devices: [] });
  t.notRegex(await look(name, "ip", "link"), /br[01]/, "another configuration is made anew");
});

const wrong: readonly [string, Partial<NamespaceConfiguration>, RegExp][] = [
  ["a setting", { settings: ["net/ipv4/no_such=1"] }, /no_such/],
  ["a device", { devices: ["link add br0 type brigde"] }, /device type/],
  ["a rule", { rules: "table ip ours { rubbish }" }, /syntax error/],
];
for (const [what, part, said] of wrong)
  test(`${what} that the kernel refuses is told, and no namespace stays`, async (t) => {
    const name = choose(t);
    const error = await t.throwsAsync(createNamespace(name, { ...configuration, ...part }), {
      code: "network-setup-failed",
    });
    t.regex(error.message, said);
    t.deepEqual(await listNamespaces(name), []);
  });

test("what cannot be joined to another namespace stays as it was, with what runs in it", async (t) => {
  const name = choose(t);
  await createNamespace(name, configuration);
  const outside = { namespace: `${name}-none`, devices: ["link set lo up"] };
  await t.throwsAsync(createNamespace(name, { ...configuration, outside }), { code: "network-setup-failed" });
  t.regex(await look(name, "ip", "link", "show", "br0"), /br0/);
});
