/**
 * How a XenoCorp stands for its orders: a plug-in. What it decides is what clients, XenoServers and XenoCorp agreed on by
 * contract; the paper's section II-A names the extremes.
 */
export interface ValidationPolicy {
  readonly name: string;
  /** The whole amount is set aside when the order is issued; else each charge is paid from what the client has then. */
  readonly setsAside: boolean;
  /** One XenoServer alone may charge: the first that validates. */
  readonly isExclusive: boolean;
  /** A XenoServer must validate before it charges; else its first charge brings the order. */
  readonly needsValidation: boolean;
  /** Validation pays all that is allowed at once; charges then only say what for. */
  readonly paysAtOnce: boolean;
}
