/**
 * A XenoCorp's HTTP API. Every request but the first page is proved (RFC 9449); what it says is taken for what the holder of
 * that key wants, and for nothing else.
 *
 *     GET  /                       a form that tells how to register
 *     GET  /v1/corporation         {name, key, currency, policies}: whom you deal with
 *     POST /v1/registrations       {role, name, details}           the key is the proof's: {holder, credential}
 *     GET  /v1/account             the holder's balance
 *     POST /v1/orders              {id, amount, validMs, policy, restrictions}         client: the order's texts
 *     GET  /v1/orders              client: its orders
 *     POST /v1/validations         {presented, session}            server: {order, allowed}
 *     POST /v1/charges             {id, order, amount, used, …}    server: {amount, left}
 *     POST /v1/orders/ID/close     server: the session is over
 *     GET  /v1/orders/ID/audit     client: what it paid, and what for
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import { XenoError } from "../../cowfs/errors.ts";
import { createJsonServer } from "../../xenod/http/json-server.ts";
import { keepBodyText, readCredential, requireProof, requireSameKey } from "../credentials/authenticate.ts";
import { type Credential, Role } from "../credentials/credential.ts";
import { ProofWindow } from "../credentials/proof.ts";
import type { PublicJwk } from "../credentials/public-key.ts";
import { OrderTexts } from "../orders/order.ts";
import { Restrictions } from "../orders/restrictions.ts";
import type { Corporation } from "./corporation.ts";
import { policies } from "./policies/policies.ts";
import { registrationPage } from "./registration-page.ts";

const Id = Type.String({ pattern: "^[A-Za-z0-9._-]{1,60}$" });
const Amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const closed = { additionalProperties: false };

const NewRegistration = Type.Object(
  { role: Role, name: Type.String({ minLength: 1, maxLength: 200 }), details: Type.Optional(Type.Unknown()) },
  closed,
);
const NewOrder = Type.Object(
  {
    id: Id,
    amount: Amount,
    validMs: Amount,
    policy: Type.Optional(Type.Union(Object.values(policies).map(({ name }) => Type.Literal(name)))),
    restrictions: Type.Optional(Restrictions),
  },
  closed,
);
const Validation = Type.Object({ presented: OrderTexts, session: Type.String({ maxLength: 200 }) }, closed);
const Charge = Type.Object(
  {
    id: Id,
    order: Type.String({ maxLength: 100 }),
    amount: Amount,
    used: Type.Unknown(),
    presented: Type.Optional(OrderTexts),
    session: Type.Optional(Type.String({ maxLength: 200 })),
  },
  closed,
);
const OrderParameters = Type.Object({ id: Type.String({ maxLength: 100 }) });
const Page = Type.Object({ after: Type.Integer({ minimum: 0, default: 0 }) });

interface Caller {
  readonly credential: Credential;
  readonly publicKey: PublicJwk;
}

/** Not listening yet. `options.name` of the corporation is the address that clients and XenoServers reach it by. */
export function createCorporationApi(
  corporation: Corporation,
  onDefect: (error: unknown) => void,
  now: () => number = Date.now,
): FastifyInstance {
  const api = createJsonServer(onDefect);
  keepBodyText(api);
  const { name, key, currency } = corporation.options;
  const proofs = new ProofWindow(now());

  const authenticate = async (request: FastifyRequest, role?: Role): Promise<Caller> => {
    const text = readCredential(request);
    const credential = await corporation.authenticate(text);
    const prover = await requireProof(request, name, proofs, now(), text);
    requireSameKey(credential, prover);
    if (role !== undefined && credential.role !== role)
      throw new XenoError("role-wrong", `only a ${role} may ask for this`, { hint: "use the credential of one" });
    return { credential, publicKey: prover.publicKey };
  };

  api.get("/", async (_request, reply) => reply.type("text/html; charset=utf-8").send(registrationPage(name)));
  api.get("/v1/corporation", async () => ({ name, key: key.publicKey, currency, policies: Object.keys(policies) }));
  api.post<{ Body: Static<typeof NewRegistration> }>(
    "/v1/registrations",
    { schema: { body: NewRegistration } },
    async (request) => {
      const { keyId } = await requireProof(request, name, proofs, now());
      return await corporation.register({ ...request.body, keyId });
    },
  );
  api.get("/v1/account", async (request) => {
    const { credential } = await authenticate(request);
    return await corporation.ledger.balance(credential.sub);
  });
  api.post<{ Body: Static<typeof NewOrder> }>("/v1/orders", { schema: { body: NewOrder } }, async (request) => {
    const { credential, publicKey } = await authenticate(request, "client");
    return { texts: await corporation.createOrder(credential.sub, publicKey, request.body) };
  });
  api.get("/v1/orders", async (request) => {
    const { credential } = await authenticate(request, "client");
    return await corporation.listOrders(credential.sub);
  });
  api.post<{ Body: Static<typeof Validation> }>(
    "/v1/validations",
    { schema: { body: Validation } },
    async (request) => {
      const { credential } = await authenticate(request, "server");
      return await corporation.payments.validate(credential.sub, request.body.presented, request.body.session);
    },
  );
  api.post<{ Body: Static<typeof Charge> }>("/v1/charges", { schema: { body: Charge } }, async (request) => {
    const { credential } = await authenticate(request, "server");
    return await corporation.payments.charge(credential.sub, request.body);
  });
  api.post<{ Params: Static<typeof OrderParameters> }>(
    "/v1/orders/:id/close",
    { schema: { params: OrderParameters } },
    async (request) => {
      const { credential } = await authenticate(request, "server");
      await corporation.payments.close(credential.sub, request.params.id);
      return {};
    },
  );
  api.get<{ Params: Static<typeof OrderParameters>; Querystring: Static<typeof Page> }>(
    "/v1/orders/:id/audit",
    { schema: { params: OrderParameters, querystring: Page } },
    async (request) => {
      const { credential } = await authenticate(request, "client");
      return await corporation.audit(request.params.id, credential.sub, request.query.after);
    },
  );
  return api;
}
