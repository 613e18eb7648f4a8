import { type CodeHostRecord, codeHostSchema, codeHostsSchema, type SetCodeHost } from '@fumehood/protocol';
import type { Http } from './http.ts';

/** Manages the code hosts on which the instance opens changesets. For admins; no answer has a token. */
export interface CodeHostsClient {
  list(): Promise<CodeHostRecord[]>;
  /** Stores a code host in place of an earlier one of this name. Errors: `code_host_url_taken`. */
  set(name: string, codeHost: SetCodeHost): Promise<CodeHostRecord>;
  /** Errors: `code_host_not_found`. */
  remove(name: string): Promise<void>;
}

const root = '/api/code-hosts';

/** Makes the part of a client for code hosts. */
export function codeHostsClient(http: Http): CodeHostsClient {
  return {
    list: async () => (await http.ask(codeHostsSchema, { method: 'GET', path: root })).codeHosts,
    set: (name, json) => http.ask(codeHostSchema, { method: 'PUT', path: `${root}/${name}`, json }),
    async remove(name) {
      await (await http.send({ method: 'DELETE', path: `${root}/${name}` })).body?.cancel();
    },
  };
}
