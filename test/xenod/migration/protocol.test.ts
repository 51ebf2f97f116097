/**
 * The hand-over, checked exhaustively: every order in which messages arrive, once, more often or never, either end dying
 * between any two steps of an answer, alone, with its guest or with its host, and the source giving up at any time. One
 * attempt with any number of deaths, and two with two: old messages of the first meet the second.
 */
import test from "ava";
import { explore, type World } from "./explore.ts";
import { listRunning, listSteps, settle, start } from "./world.ts";

const reached = [...explore(start(1, -1), listSteps), ...explore(start(2, 2), listSteps)];

const always = test.macro((t, rule: (world: World) => boolean) => {
  t.is(
    reached.find((world) => !rule(world)),
    undefined,
  );
});

test("the search reaches hand-overs that went well, were refused, were given up, and are in doubt", (t) => {
  const isReached = (source: string, target: string) =>
    reached.some((world) => world.source.saved.state === source && world.targets.at(-1)!.saved.state === target);
  t.true(reached.length > 10_000);
  t.true(isReached("gone", "owned"));
  t.true(isReached("moved", "refused"));
  t.true(isReached("moved", "prepared"));
  t.true(isReached("here", "prepared"));
  t.false(isReached("here", "owned"));
});

test("at most one end runs the domain, always (H1, H2, H6)", always, (world) => listRunning(world).length <= 1);

test("the domain is never thrown away at both ends (H4, H8)", always, ({ source, targets }) => {
  return source.hasData || targets.some(({ saved }) => saved.state === "owned");
});

test("who owns the domain is the only one (H7, H8)", always, ({ source, targets }) => {
  const owners = targets.filter(({ saved }) => saved.state === "owned").length;
  return owners + (source.saved.state === "here" ? 1 : 0) <= 1;
});

test("both ends up and able to talk come to exactly one that runs, from wherever they are (H5)", always, (world) => {
  return listRunning(settle(world)).length === 1;
});

test("once settled, neither end has anything left to say (H9)", always, (world) => {
  const { source, targets } = settle(world);
  const isQuiet = ({ saved }: (typeof targets)[number]) =>
    saved.state === "unknown" || (saved.state === "owned" && saved.isTold);
  return source.saved.state !== "moved" && source.progress === undefined && targets.every(isQuiet);
});
