import {
  type CeilingOf,
  type CeilingRecord,
  ceilingRecordSchema,
  ceilingRecordsSchema,
  type SetCeiling,
} from '@fumehood/protocol';
import type { Http } from './http.ts';

/** Manages what the jobs of each queue and tenant may reach over the network at most. */
export interface CeilingsClient {
  list(): Promise<CeilingRecord[]>;
  /** Stores a ceiling in place of an earlier one for the same jobs. */
  set(ceiling: SetCeiling): Promise<CeilingRecord>;
  /** Errors: `ceiling_not_found`. */
  remove(of: CeilingOf): Promise<void>;
}

const path = '/api/network/ceilings';

/** Makes the part of a client for ceilings of the network. */
export function ceilingsClient(http: Http): CeilingsClient {
  return {
    list: async () => (await http.ask(ceilingRecordsSchema, { method: 'GET', path })).ceilings,
    set: (ceiling) => http.ask(ceilingRecordSchema, { method: 'PUT', path, json: ceiling }),
    async remove(of) {
      const query = new URLSearchParams(of as Record<string, string>).toString();
      await (await http.send({ method: 'DELETE', path: `${path}?${query}` })).body?.cancel();
    },
  };
}
