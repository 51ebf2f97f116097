import test from "ava";
import {
  type Move,
  planDrain,
  planRebalance,
  type SurveyedDomain,
  type SurveyedServer,
} from "../../../control/balance/plan-moves.ts";
import fc from "../../property.ts";

function domain(name: string, memoryMiB: number, more: Partial<SurveyedDomain> = {}): SurveyedDomain {
  return { name, memoryMiB, cpuMsPerSecond: 0, isRunning: true, ...more };
}

/** One of 1,000 MiB, of which its domains take theirs. */
function server(name: string, domains: readonly SurveyedDomain[], more: Partial<SurveyedServer> = {}): SurveyedServer {
  const used = domains.reduce((sum, { memoryMiB }) => sum + memoryMiB, 0);
  const memoryMiB = { left: 1000 - used, total: 1000 };
  return { name, isDraining: false, memoryMiB, cpuMsPerSecond: { left: 1000 }, domains, ...more };
}

const show = ({ domain: name, from, to }: Move) => `${name}: ${from} -> ${to}`;

test("a XenoServer is emptied to where most is left, the largest first, and what finds no room is told", (t) => {
  const full = server("a", [domain("small", 200), domain("large", 700), domain("huge", 950)]);
  const { moves, stuck } = planDrain(full, [server("b", [domain("x", 100)]), server("c", [domain("y", 300)])]);
  t.deepEqual(moves.map(show), ["large: a -> b", "small: a -> c"]);
  t.deepEqual(
    stuck.map(({ domain: name }) => name),
    ["huge"],
  );
});

test("nothing goes to a XenoServer that is drained itself, or has promised its processors", (t) => {
  const full = server("a", [domain("web", 100, { cpuMsPerSecond: 500 })]);
  const drained = server("b", [], { isDraining: true });
  const promised = server("c", [], { cpuMsPerSecond: { left: 400 } });
  t.is(planDrain(full, [drained, promised]).stuck.length, 1);
  t.deepEqual(planDrain(full, [drained, promised, server("d", [])]).moves.map(show), ["web: a -> d"]);
});

test("XenoServers that are used unlike are evened out by small moves; what does not run stays", (t) => {
  const full = server("a", [domain("one", 200), domain("two", 300), domain("moving", 100, { isRunning: false })]);
  t.deepEqual(planRebalance([full, server("b", [])]).moves.map(show), ["one: a -> b"]);
  t.deepEqual(planRebalance([server("a", [domain("one", 100)]), server("b", [])]).moves, []);
});

const domains = fc.array(fc.integer({ min: 50, max: 400 }), { maxLength: 5 });
const someServers = fc.array(domains, { minLength: 1, maxLength: 5 }).map((each) =>
  each.map((sizes, at) =>
    server(
      `s${at}`,
      sizes.map((size, index) => domain(`${at}-${index}`, size)),
    ),
  ),
);

test("a plan fits, moves nothing twice, and leaves nobody used less alike (B1, B2)", (t) => {
  fc.assert(
    fc.property(someServers, (found) => {
      const servers = found.filter(({ memoryMiB }) => memoryMiB.left >= 0);
      const { moves } = planRebalance(servers);
      t.is(new Set(moves.map(({ domain: name }) => name)).size, moves.length);
      const after = servers.map(({ name, domains: had }) => {
        const gone = moves.filter(({ from }) => from === name).map(({ domain: each }) => each);
        const come = moves
          .filter(({ to }) => to === name)
          .map(({ domain: each, memoryMiB }) => domain(each, memoryMiB));
        return server(name, [...had.filter((each) => !gone.includes(each.name)), ...come]);
      });
      t.true(after.every(({ memoryMiB }) => memoryMiB.left >= 0));
      t.true(spread(after) <= spread(servers) + 1e-9);
    }),
    { seed: 5, numRuns: 300 },
  );
});

function spread(servers: readonly SurveyedServer[]): number {
  const uses = servers.map(({ memoryMiB }) => 1 - memoryMiB.left / memoryMiB.total);
  return uses.length === 0 ? 0 : Math.max(...uses) - Math.min(...uses);
}
