/**
 * Which domains move where, so that a XenoServer is empty, or that memory is used alike everywhere.
 *
 * - (B1) A move is proposed only where the target has room for it, those before it counted; it takes no domains that are not running.
 * - (B2) Rebalancing takes the smallest moves that help: each one brings the two fullest and emptiest XenoServers closer
 *   together by more than it costs, and no domain is moved twice: so it ends.
 */

export interface SurveyedDomain {
  readonly name: string;
  /** With what its hypervisor takes beside. */
  readonly memoryMiB: number;
  /** Promised, in ms per second. */
  readonly cpuMsPerSecond: number;
  readonly isRunning: boolean;
}

export interface SurveyedServer {
  readonly name: string;
  /** It takes no domains. */
  readonly isDraining: boolean;
  readonly memoryMiB: { readonly left: number; readonly total: number };
  readonly cpuMsPerSecond: { readonly left: number };
  readonly domains: readonly SurveyedDomain[];
}

export interface Move {
  readonly domain: string;
  readonly from: string;
  readonly to: string;
  readonly memoryMiB: number;
}

export interface Plan {
  readonly moves: readonly Move[];
  /** Domains that have to go and find no room, or do not run. */
  readonly stuck: readonly { readonly domain: string; readonly reason: string }[];
}

/** Below that much of their memory, two XenoServers are used alike. */
const alike = 0.1;

/** Empties one: the largest domains first, each to where most is left. */
export function planDrain(server: SurveyedServer, others: readonly SurveyedServer[]): Plan {
  const left = countRoom(others);
  const moves: Move[] = [];
  const stuck: { domain: string; reason: string }[] = [];
  for (const domain of [...server.domains].sort((one, two) => two.memoryMiB - one.memoryMiB)) {
    if (!domain.isRunning) continue;
    const [to] = left.filter((room) => fits(domain, room)).sort((one, two) => two.memoryMiB - one.memoryMiB);
    if (to === undefined)
      stuck.push({ domain: domain.name, reason: `no other XenoServer has ${domain.memoryMiB} MiB left for it` });
    else moves.push(take(domain, server.name, to));
  }
  return { moves, stuck };
}

/** Evens out how much of their memory they use. */
export function planRebalance(servers: readonly SurveyedServer[]): Plan {
  const rooms = countRoom(servers);
  const domains = new Map(
    servers.map(({ name, domains: each }) => [name, each.filter(({ isRunning }) => isRunning)] as const),
  );
  const moves: Move[] = [];
  for (;;) {
    const best = findMove(servers, rooms, domains);
    if (best === undefined) return { moves, stuck: [] };
    const { domain, from, to } = best;
    from.memoryMiB += domain.memoryMiB;
    from.cpuMsPerSecond += domain.cpuMsPerSecond;
    domains.set(
      from.name,
      domains.get(from.name)!.filter((each) => each !== domain),
    );
    // Moved once is enough: it is not offered again.
    moves.push(take(domain, from.name, to));
  }
}

interface Left {
  readonly name: string;
  readonly total: number;
  memoryMiB: number;
  cpuMsPerSecond: number;
}

function countRoom(servers: readonly SurveyedServer[]): Left[] {
  return servers
    .filter(({ isDraining }) => !isDraining)
    .map(({ name, memoryMiB, cpuMsPerSecond }) => ({
      ...{ name, total: memoryMiB.total, memoryMiB: memoryMiB.left, cpuMsPerSecond: cpuMsPerSecond.left },
    }));
}

function fits(domain: SurveyedDomain, { memoryMiB, cpuMsPerSecond }: Left): boolean {
  return domain.memoryMiB <= memoryMiB && domain.cpuMsPerSecond <= cpuMsPerSecond;
}

function take(domain: SurveyedDomain, from: string, to: Left): Move {
  to.memoryMiB -= domain.memoryMiB;
  to.cpuMsPerSecond -= domain.cpuMsPerSecond;
  return { domain: domain.name, from, to: to.name, memoryMiB: domain.memoryMiB };
}

/** The smallest domain of the fullest XenoServer that makes it and the emptiest one more alike (B2). */
function findMove(
  servers: readonly SurveyedServer[],
  rooms: readonly Left[],
  domains: ReadonlyMap<string, readonly SurveyedDomain[]>,
): { domain: SurveyedDomain; from: Left; to: Left } | undefined {
  const use = ({ memoryMiB, total }: Left) => (total === 0 ? 1 : 1 - memoryMiB / total);
  const byUse = rooms
    .filter(({ name }) => servers.some((each) => each.name === name))
    .sort((one, two) => use(two) - use(one));
  const from = byUse.at(0);
  const to = byUse.at(-1);
  if (from === undefined || to === undefined || use(from) - use(to) <= alike) return undefined;
  const gap = use(from) - use(to);
  const candidates = [...(domains.get(from.name) ?? [])].sort((one, two) => one.memoryMiB - two.memoryMiB);
  const domain = candidates.find((each) => {
    const after =
      use({ ...from, memoryMiB: from.memoryMiB + each.memoryMiB }) -
      use({ ...to, memoryMiB: to.memoryMiB - each.memoryMiB });
    return fits(each, to) && Math.abs(after) < gap - alike / 2;
  });
  return domain && { domain, from, to };
}
