import type { ValidationPolicy } from "./policy.ts";

/** Who bears the risk of a client that does not pay: the XenoCorp's contract. */
export const policies = {
  /** The usual one: nobody can be cheated, and each session costs one request before it begins. */
  exclusive: { name: "exclusive", setsAside: true, isExclusive: true, needsValidation: true, paysAtOnce: false },
  /** The XenoServer has its money before it works; what it does not use it keeps. */
  prepaid: { name: "prepaid", setsAside: true, isExclusive: true, needsValidation: true, paysAtOnce: true },
  /** Nothing is set aside: charges are paid from what the client has, up to its credit limit, when they come. */
  afterwards: { name: "afterwards", setsAside: false, isExclusive: true, needsValidation: true, paysAtOnce: false },
  /**
   * XenoServers verify the texts by themselves and settle now and then: nobody is asked before a session begins. A client that
   * spends one order at many of them gets what they give it until they settle; who settles late is not paid.
   */
  offline: { name: "offline", setsAside: true, isExclusive: false, needsValidation: false, paysAtOnce: false },
} as const satisfies Record<string, ValidationPolicy>;

export type PolicyName = keyof typeof policies;
