import test from "ava";
import { describePublicKey } from "../../../control/credentials/public-key.ts";
import { issueOrder, type OrderTexts, passOnOrder, spendOrder, verifyOrder } from "../../../control/orders/order.ts";
import { combineRestrictions, type Restrictions, requireAllowed } from "../../../control/orders/restrictions.ts";
import fc from "../../property.ts";
import { makeKey } from "../credentials/make-key.ts";

const now = 1_800_000_000_000;
const corporation = await makeKey("corp");
const client = await makeKey("client");
const agent = await makeKey("agent");
const thief = await makeKey("thief");
const expected = { name: "corp", key: corporation.verifyKey };
const jwkOf = (key: typeof client) => describePublicKey(key.publicKey);

async function issue(restrictions: Restrictions = {}, id = "o1"): Promise<OrderTexts> {
  const order = { iss: "corp", jti: id, sub: "c1", amount: 100, currency: "EUR", expires: now + 1000 };
  return await issueOrder({ ...order, holder: jwkOf(client), restrictions }, corporation);
}

async function refuse(texts: OrderTexts): Promise<string> {
  return await verifyOrder(texts, expected, now).then(
    () => "taken",
    (error) => error.code,
  );
}
const refused = ["signature-invalid", "order-broken"];

test("an order that its holder spends allows what all of its texts allow (O3)", async (t) => {
  const texts = await issue({ maxAmount: 90, kind: "domain" });
  const passed = await passOnOrder(texts, jwkOf(agent), { maxAmount: 50, resources: { cpu: 150 } }, client);
  const spent = await spendOrder(passed, { server: "s1", resources: { cpu: 200, memory: 5 } }, agent);
  t.deepEqual(await verifyOrder(spent, expected, now), {
    id: "o1",
    corporation: "corp",
    client: "c1",
    amount: 50,
    currency: "EUR",
    expires: now + 1000,
    restrictions: { maxAmount: 50, kind: "domain", server: "s1", resources: { cpu: 150, memory: 5 } },
    spenderKeyId: agent.id,
  });
});

test("an order that nobody spent is not worth anything to who sees it (O2)", async (t) => {
  const texts = await issue();
  for (const each of [texts, await passOnOrder(texts, jwkOf(agent), {}, client)])
    t.true(refused.includes(await refuse(each)));
});

test("what a XenoServer was shown cannot be stripped, reordered, mixed or spent again (O1, O2)", async (t) => {
  const texts = await issue();
  const passed = await passOnOrder(texts, jwkOf(agent), { maxAmount: 10 }, client);
  const [first, second, third] = await spendOrder(passed, { server: "s1" }, agent);
  const other = await spendOrder(await issue({}, "o2"), { server: "s1" }, client);
  const attempts: Record<string, OrderTexts> = {
    "without the last": [first!, second!],
    "without the middle": [first!, third!],
    reordered: [first!, third!, second!],
    "the last doubled": [first!, second!, third!, third!],
    "the first of another order": [other[0]!, second!, third!],
    "the spending of another order": [first!, other[1]!],
    "by a thief": await spendOrder(passed, { server: "s2" }, thief),
    "by the holder before": await spendOrder(passed, { server: "s2" }, client),
    "by the XenoCorp": await spendOrder(passed, { server: "s2" }, corporation),
    "of a thief's XenoCorp": await spendOrder(
      await issueOrder(
        {
          iss: "corp",
          jti: "o9",
          sub: "c1",
          amount: 9,
          currency: "EUR",
          expires: now + 9,
          holder: jwkOf(thief),
          restrictions: {},
        },
        thief,
      ),
      { server: "s1" },
      thief,
    ),
    empty: [],
    long: [first!, ...Array.from({ length: 20 }, () => second!), third!],
  };
  for (const [title, attempt] of Object.entries(attempts)) {
    const code = await refuse(attempt);
    t.true(refused.includes(code), `${title}: ${code}`);
  }
});

test("an order that names two XenoServers is a contradiction, not a choice", async (t) => {
  const spent = await spendOrder(await issue({ server: "s1" }), { server: "s2" }, client);
  await t.throwsAsync(verifyOrder(spent, expected, now), { code: "order-contradiction" });
});

test("an order expires by its XenoCorp's time or by its holder's deadline, whichever comes first", async (t) => {
  const spent = await spendOrder(await issue(), { server: "s1", deadline: now + 500 }, client);
  t.is((await verifyOrder(spent, expected, now)).expires, now + 500);
  await t.throwsAsync(verifyOrder(spent, expected, now + 500), { code: "order-expired" });
  const undated = await spendOrder(await issue(), { server: "s1" }, client);
  await t.throwsAsync(verifyOrder(undated, expected, now + 1000), { code: "order-expired" });
});

test("a resource of a name that no resource has is refused, and restricts nothing by mistake", async (t) => {
  const texts = await issue(JSON.parse('{"resources":{"__proto__":1}}'));
  t.is(await refuse(await spendOrder(texts, { server: "s1" }, client)), "signature-invalid");
});

const session = { server: "s1", kind: "domain", resources: { cpu: 100 } };
const few = fc.integer({ min: 0, max: 3 });
const restrictions: fc.Arbitrary<Restrictions> = fc.record(
  {
    maxAmount: few,
    deadline: few.map((each) => now + each),
    server: fc.constantFrom("s1", "s2"),
    kind: fc.constantFrom("domain", "program"),
    resources: fc.dictionary(fc.constantFrom("cpu", "memory"), fc.integer({ min: 99, max: 101 })),
  },
  { requiredKeys: [] },
);

test("two restrictions together allow exactly what each of them allows", (t) => {
  const allows = (each: Restrictions, at: number) => {
    try {
      requireAllowed(each, session, at);
      return true;
    } catch {
      return false;
    }
  };
  fc.assert(
    fc.property(restrictions, restrictions, few, (one, other, later) => {
      let both: Restrictions | undefined;
      try {
        both = combineRestrictions(one, other);
      } catch {}
      const isAllowed = both !== undefined && allows(both, now + later);
      t.is(isAllowed, allows(one, now + later) && allows(other, now + later));
    }),
  );
});
