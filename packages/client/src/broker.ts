import {
  type BrokerRecord,
  brokerRecordSchema,
  brokerRecordsSchema,
  type SetBroker,
} from '@fumehood/protocol';
import type { Http } from './http.ts';

/** Manages the entries of the broker. No answer has a secret. */
export interface BrokerClient {
  list(): Promise<BrokerRecord[]>;
  /** Stores an entry, in place of an earlier one of this name. */
  set(name: string, entry: SetBroker): Promise<BrokerRecord>;
  /** Errors: `broker_not_found`. */
  remove(name: string): Promise<void>;
}

const root = '/api/broker';

/** Makes the part of a client for the broker. */
export function brokerClient(http: Http): BrokerClient {
  const pathOf = (name: string) => `${root}/${encodeURIComponent(name)}`;
  return {
    list: async () => (await http.ask(brokerRecordsSchema, { method: 'GET', path: root })).entries,
    set: (name, entry) => http.ask(brokerRecordSchema, { method: 'PUT', path: pathOf(name), json: entry }),
    async remove(name) {
      await (await http.send({ method: 'DELETE', path: pathOf(name) })).body?.cancel();
    },
  };
}
