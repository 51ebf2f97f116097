/** What Xenod's API takes, version 1. What it gives are the types of the daemon, as JSON. */
import { type Static, Type } from "typebox";
import { domainNamePattern, layerUrl } from "../daemon/deployment.ts";

export const DomainParameters = Type.Object({ name: Type.String({ pattern: domainNamePattern }) });
export type DomainParameters = Static<typeof DomainParameters>;

/** As its client chose it: says which domain is meant, should another one have its name by now. */
export const deploymentId = Type.String({ pattern: "^[A-Za-z0-9_-]{8,64}$" });

export const TaskParameters = Type.Object({ id: Type.String({ pattern: "^[0-9a-f-]{36}$" }) });
export type TaskParameters = Static<typeof TaskParameters>;

/** A task was begun for a domain. */
export const Begun = Type.Object({
  task: Type.String(),
  domain: Type.String(),
  isRepeated: Type.Optional(
    Type.Boolean({ description: "Of a deployment: the request had come before, and nothing was begun by this one." }),
  ),
});

export const TaskQuery = Type.Object({
  /** Answer when the task's version is past this one. */
  seen: Type.Integer({ minimum: 0, default: 0 }),
  /** Or after this time. */
  waitMs: Type.Integer({ minimum: 0, maximum: 60_000, default: 0 }),
});
export type TaskQuery = Static<typeof TaskQuery>;

const graceMs = Type.Integer({ minimum: 0, maximum: 600_000 });

export const StopBody = Type.Object({ graceMs: Type.Optional(graceMs) }, { additionalProperties: false });
export type StopBody = Static<typeof StopBody>;

export const RemoveQuery = Type.Object({ graceMs: Type.Optional(graceMs) });
export type RemoveQuery = Static<typeof RemoveQuery>;

export const ShutdownBody = Type.Object(
  { graceMs: Type.Optional(graceMs), remove: Type.Optional(Type.Boolean()), halt: Type.Optional(Type.Boolean()) },
  { additionalProperties: false },
);
export type ShutdownBody = Static<typeof ShutdownBody>;

export const DrainingBody = Type.Object({ isDraining: Type.Boolean() }, { additionalProperties: false });
export type DrainingBody = Static<typeof DrainingBody>;

export const TreeQuery = Type.Object({ url: Type.String(layerUrl) });
export type TreeQuery = Static<typeof TreeQuery>;

export const LogQuery = Type.Object({
  bytes: Type.Integer({ minimum: 1, maximum: 1_048_576, default: 65_536 }),
  deployment: Type.Optional(deploymentId),
});
export type LogQuery = Static<typeof LogQuery>;

/** A Debian guest under TCG needs some of it. */
export const defaultGraceMs = 30_000;

/** What a connection is upgraded to that becomes a domain's console. */
export const consoleProtocol = "xeno-console";
