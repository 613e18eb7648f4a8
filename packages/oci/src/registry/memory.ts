import type { Clock } from '@fumehood/base';
import { digestOf } from '../digest.ts';
import type { Descriptor } from '../schema.ts';
import type { RegistryAuths } from './registries.ts';

/** How far the fetch of an image is. */
export interface Transfer {
  receivedBytes: number;
  readonly totalBytes: number;
}

/** What all fetches of one agent know. It is lost with the agent. */
export interface FetchMemory {
  /** The transfers that are under way, by the path of the archive. */
  readonly transfers: Map<string, Transfer>;
  /** Returns the manifest that the registry gave to these credentials for a reference with a digest, if that was lately. */
  accepted(reference: string, auths: RegistryAuths): Descriptor | null;
  /** Says that the registry has just given this manifest to these credentials. */
  accept(reference: string, auths: RegistryAuths, manifest: Descriptor): void;
}

/** How long an answer of a registry holds for the same credentials, ms. */
const acceptedMs = 600_000;
const acceptedMax = 1_000;

/** Opens the memory of an agent's fetches. */
export function openFetchMemory(clock: Clock): FetchMemory {
  const answers = new Map<string, { readonly manifest: Descriptor; readonly endsAt: number }>();
  // The hash keeps credentials out of a memory that outlives their job.
  const keyOf = (reference: string, auths: RegistryAuths) =>
    digestOf(Buffer.from(JSON.stringify([reference, Object.entries(auths)])));
  return {
    transfers: new Map(),
    accepted(reference, auths) {
      const key = keyOf(reference, auths);
      const found = answers.get(key);
      if (!found) return null;
      if (clock.bootTime() < found.endsAt) return found.manifest;
      answers.delete(key);
      return null;
    },
    accept(reference, auths, manifest) {
      const key = keyOf(reference, auths);
      answers.delete(key); // the newest answers come last
      answers.set(key, { manifest, endsAt: clock.bootTime() + acceptedMs });
      for (const oldest of answers.keys()) {
        if (answers.size <= acceptedMax) break;
        answers.delete(oldest);
      }
    },
  };
}
