import test from "ava";
import { signAdvertisement } from "../../../control/information/advertisement.ts";
import { InformationClient } from "../../../control/information/client.ts";
import { choosePort } from "../../../control/network/choose-port.ts";
import { makeKey } from "../credentials/make-key.ts";
import { makeXeno } from "./xeno.ts";

test("a XenoCorp is run, registered with, paid, and issues orders, from the command line", async (t) => {
  const xeno = await makeXeno(t);
  const port = await choosePort();
  const address = `http://127.0.0.1:${port}`;
  await xeno.json("key", "new", "corp");
  await xeno.json("key", "new", "demo");
  t.is(
    (await xeno.fail(["corporation", "register", address, "--name", "Ada", "--key", "demo"])).code,
    "corporation-unreachable",
  );
  await xeno.start(["corporation", "run", address, "--listen", `127.0.0.1:${port}`, "--key", "corp"]);
  t.is((await xeno.fail(["order", "ls", address])).code, "account-missing");
  const { holder } = await xeno.json("corporation", "register", address, "--name", "Ada", "--key", "demo");
  t.is((await xeno.fail(["order", "new", address, "5.00"])).code, "funds-short");
  const payIn = ["corporation", "pay-in", address, holder, "20.00", "--id", "invoice-7", "--key", "corp"];
  // Told twice, while the XenoCorp runs.
  for (const _ of [1, 2]) t.is((await xeno.json(...payIn)).balance, "20.00");
  const order = await xeno.json("order", "new", address, "5.00", "--id", "first");
  t.deepEqual(await xeno.json("order", "new", address, "5.00", "--id", "first"), order);
  const [listed] = await xeno.json("order", "ls", address);
  t.like(listed, { amount: "5.00", policy: "exclusive" });
  t.like((await xeno.json("corporation", "ls"))[0], { balance: "20.00", held: "5.00", available: "15.00" });
  const [hold] = await xeno.json("order", "audit", address, listed.order);
  t.like(hold, { kind: "hold", amount: "5.00" });
  t.is((await xeno.fail(["order", "audit", address, "nothing"])).code, "order-unknown");
  t.is((await xeno.run(["order", "new", address, "5", "--policy", "gift"])).code, 2);
  t.is((await xeno.fail(["order", "new", "corp.example", "5"])).code, "address-invalid");
});

test("XenoServers that advertise are found from the command line, with the reasons", async (t) => {
  const xeno = await makeXeno(t);
  const { result } = await xeno.start(["information", "run", "--listen", "127.0.0.1:0"]);
  const address = result.listening!;
  const tokens = { CPUmsps: 500, MemoryMiB: 1024, EnvType: "Linux", PriceCPUmsps: 10, PriceMemoryMiB: 1 };
  const advertised = { address: "https://server", tokens, at: Date.now(), validMs: 60_000 };
  const { server } = await new InformationClient(address).advertise(
    await signAdvertisement(advertised, await makeKey()),
  );
  const find = ["find", "--information", address, "--type", "Linux", "--cpu", "100", "--memory", "512", "--hours", "2"];
  const { matches } = await xeno.json(...find);
  t.like(matches[0], { server, price: 2 * (100 * 10 + 512) });
  const { stdout, stderr } = await xeno.run([...find, "--explain"]);
  t.true(stdout.includes("CPUmsps 500 of 100 asked for"));
  t.true(stderr.includes("1 were looked at"));
  t.deepEqual((await xeno.json(...find, "--kernel", "2.4.18")).matches, []);
});
