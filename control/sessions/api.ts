/**
 * What a XenoServer answers its clients (control paper, section II-B.2). Every request but the first is proved (RFC 9449), with
 * a credential of a XenoCorp that it accepts.
 *
 *     GET  /                                   what this is
 *     GET  /v1/xenoserver                      query_xenoserver_status
 *     POST /v1/offers                          {requirements | requirementsXml, termMs, session?}: {offer}
 *     POST /v1/sessions                        {offer, acceptance, order}: create_session
 *     GET  /v1/sessions, /v1/sessions/ID       the caller's
 *     POST /v1/sessions/ID/leases              {offer, acceptance}: modify, renew
 *     POST /v1/sessions/ID/orders              {order}: top up
 *     POST /v1/sessions/ID/tasks               {id, kind, asked}: deploy_task
 *     GET  /v1/sessions/ID/tasks/TASK/log      the end of its domain's console, or of what a program printed
 *     POST /v1/sessions/ID/tasks/TASK/end      {}
 *     POST /v1/sessions/ID/end                 {}
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import { Errors } from "typebox/value";
import { XenoError } from "../../cowfs/errors.ts";
import { createJsonServer } from "../../xenod/http/json-server.ts";
import { keepBodyText, readCredential, requireProof, requireSameKey } from "../credentials/authenticate.ts";
import { ProofWindow } from "../credentials/proof.ts";
import { OrderTexts } from "../orders/order.ts";
import { describeSession, describeXenoServer } from "./describe.ts";
import type { Caller, EnvironmentManager } from "./environment-manager.ts";
import { SessionId, SignedLease } from "./lease.ts";
import { readRequirementsXml } from "./requirements/read-xml.ts";
import { checkRequirements, invalid } from "./requirements/requirements.ts";
import { findTaskManager } from "./tasks/task-managers.ts";

const closed = { additionalProperties: false };
/** A deployment's files are in it, or a program's tar. */
const maxTaskBytes = 2 * 1024 * 1024;
const logBytes = 65_536;

const AskedOffer = Type.Object(
  {
    requirements: Type.Optional(Type.Unknown()),
    requirementsXml: Type.Optional(Type.String({ maxLength: 64 * 1024 })),
    termMs: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    session: Type.Optional(SessionId),
  },
  closed,
);
const NewSession = Type.Object({ ...SignedLease.properties, order: OrderTexts }, closed);
const NewLease = Type.Object(SignedLease.properties, closed);
const NewOrder = Type.Object({ order: OrderTexts }, closed);
const TaskId = Type.String({ pattern: "^[A-Za-z0-9_-]{1,27}$" });
const NewTask = Type.Object({ id: TaskId, kind: Type.String({ maxLength: 40 }), asked: Type.Unknown() }, closed);
const SessionParameters = Type.Object({ id: SessionId });
type SessionParameters = Static<typeof SessionParameters>;
const TaskParameters = Type.Object({ id: SessionId, task: TaskId });
type TaskParameters = Static<typeof TaskParameters>;

/** Not listening yet. */
export function createSessionsApi(
  manager: EnvironmentManager,
  onDefect: (error: unknown) => void,
  now: () => number = Date.now,
): FastifyInstance {
  const api = createJsonServer(onDefect);
  keepBodyText(api);
  const { name, address } = manager.options.configuration;
  const proofs = new ProofWindow(now());

  const authenticate = async (request: FastifyRequest): Promise<Caller> => {
    const text = readCredential(request);
    const credential = await manager.corporations.authenticate(text);
    const prover = await requireProof(request, address, proofs, now(), text);
    requireSameKey(credential, prover);
    if (credential.role !== "client")
      throw new XenoError("role-wrong", "only a client may ask for this", { hint: "use the credential of one" });
    return prover;
  };
  const show = (session: Parameters<typeof describeSession>[0]) => describeSession(session, manager);

  api.get("/", async () => ({ xenoserver: name, ask: `${address}/v1/xenoserver` }));
  api.get("/v1/xenoserver", async (request) => {
    await authenticate(request);
    return await describeXenoServer(manager);
  });
  api.post<{ Body: Static<typeof AskedOffer> }>(
    "/v1/offers",
    { schema: { body: AskedOffer }, bodyLimit: 2 * 64 * 1024 },
    async (request) => {
      const caller = await authenticate(request);
      const { termMs, session } = request.body;
      const requirements = await readRequirements(request.body);
      return { offer: await manager.offer(caller, { requirements, termMs, session }) };
    },
  );
  api.post<{ Body: Static<typeof NewSession> }>("/v1/sessions", { schema: { body: NewSession } }, async (request) => {
    const caller = await authenticate(request);
    const { order, ...signed } = request.body;
    return await show(await manager.create(caller, signed, order));
  });
  api.get("/v1/sessions", async (request) => {
    const { keyId } = await authenticate(request);
    return await Promise.all(
      manager.sessions
        .list()
        .filter(({ client }) => client === keyId)
        .map(show),
    );
  });
  api.get<{ Params: SessionParameters }>(
    "/v1/sessions/:id",
    { schema: { params: SessionParameters } },
    async (request) => {
      const { keyId } = await authenticate(request);
      return await show(manager.sessions.get(request.params.id, keyId));
    },
  );
  api.post<{ Params: SessionParameters; Body: Static<typeof NewLease> }>(
    "/v1/sessions/:id/leases",
    { schema: { params: SessionParameters, body: NewLease } },
    async (request) => show(await manager.amend(await authenticate(request), request.body)),
  );
  api.post<{ Params: SessionParameters; Body: Static<typeof NewOrder> }>(
    "/v1/sessions/:id/orders",
    { schema: { params: SessionParameters, body: NewOrder } },
    async (request) => show(await manager.topUp(await authenticate(request), request.params.id, request.body.order)),
  );
  api.post<{ Params: SessionParameters; Body: Static<typeof NewTask> }>(
    "/v1/sessions/:id/tasks",
    { schema: { params: SessionParameters, body: NewTask }, bodyLimit: maxTaskBytes },
    async (request) => {
      const caller = await authenticate(request);
      requireForm(request.body);
      const { id, kind, domain } = await manager.deploy(caller, request.params.id, request.body);
      return { id, kind, domain };
    },
  );
  api.get<{ Params: TaskParameters }>(
    "/v1/sessions/:id/tasks/:task/log",
    { schema: { params: TaskParameters } },
    async (request) => {
      const { keyId } = await authenticate(request);
      return { text: await manager.readLog(keyId, request.params.id, request.params.task, logBytes) };
    },
  );
  api.post<{ Params: TaskParameters }>(
    "/v1/sessions/:id/tasks/:task/end",
    { schema: { params: TaskParameters } },
    async (request) => show(await manager.endTask(await authenticate(request), request.params.id, request.params.task)),
  );
  api.post<{ Params: SessionParameters }>(
    "/v1/sessions/:id/end",
    { schema: { params: SessionParameters } },
    async (request) => show(await manager.end(await authenticate(request), request.params.id)),
  );
  return api;
}

async function readRequirements({ requirements, requirementsXml }: Static<typeof AskedOffer>) {
  if ((requirements === undefined) === (requirementsXml === undefined))
    throw invalid("they are given once, as `requirements` or as `requirementsXml`");
  return requirementsXml === undefined ? checkRequirements(requirements) : await readRequirementsXml(requirementsXml);
}

/** Throws `task-kind-unknown`, `task-invalid`. */
function requireForm({ kind, asked }: Static<typeof NewTask>): void {
  const [error] = Errors(findTaskManager(kind).schema, asked);
  if (error === undefined) return;
  const where = error.instancePath || "it";
  const reason = error.keyword === "boolean" ? `${where} is no known property` : `${where} ${error.message}`;
  throw new XenoError("task-invalid", `this is no task of kind ${kind}: ${reason}`, {
    hint: "control/sessions/tasks has a folder for each kind",
  });
}
