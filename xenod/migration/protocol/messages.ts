/**
 * What the two ends of a migration say to each other, and what an end does in answer to anything that happens.
 *
 * Messages may be lost, doubled, delayed and reordered; either end may end at any instant and start again. What an end must
 * remember is in its state, which is saved before anything that relies on it is done or said.
 */

/**
 * Made up by the target for one reception (H10 in target.ts): never used for a second one.
 */
export type MigrationId = string;

/** From the source to the target. */
export type SourceMessage =
  /** The domain has stopped here and all of it has been sent. */
  | { readonly kind: "final"; readonly migration: MigrationId }
  /** It is yours. */
  | { readonly kind: "go"; readonly migration: MigrationId }
  /** It runs here, or elsewhere: throw away what you have of this migration. */
  | { readonly kind: "abort"; readonly migration: MigrationId }
  /** Your answer has been written down: you need not remember it. */
  | { readonly kind: "forget"; readonly migration: MigrationId };

/** From the target to the source. */
export type TargetMessage =
  /** All of it is on stable storage or in a paused domain here. */
  | { readonly kind: "prepared"; readonly migration: MigrationId }
  /** It is mine, and runs here as soon as it can. */
  | { readonly kind: "done"; readonly migration: MigrationId }
  /** It will never run here by this migration. */
  | { readonly kind: "refused"; readonly migration: MigrationId }
  /** I am prepared: what has become of it? */
  | { readonly kind: "inquire"; readonly migration: MigrationId };

/**
 * One step of an answer, carried out in order. An end may die between any two, and then the rest is never done: after its
 * restart it goes by what was saved. `save` settles on stable storage.
 */
export type Action<State, Message> =
  | { readonly kind: "save"; readonly state: State }
  | { readonly kind: "send"; readonly message: Message }
  /** Start the domain, or let it go on where it is paused. Where it runs, nothing happens. */
  | { readonly kind: "run" }
  /** Throw away what is here of the domain: memory, journal, link. Where there is nothing, nothing happens. */
  | { readonly kind: "discard" };
