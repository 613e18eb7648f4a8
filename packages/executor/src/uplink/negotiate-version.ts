import { commonVersion, protocolHeader, protocolVersion, upstreamVersion } from '@fumehood/protocol';
import { instanceUnreachable, versionsApart } from '../errors.ts';
import type { Http } from './http.ts';

/** Requests on an executor's own routes: each says what we speak, and learns from its answer what the instance does. */
export interface Negotiated {
  /** Errors besides those of `Http`: `versions_apart`. */
  readonly http: Http;
  /** What both sides speak, by the last answer. 0, before there was one too, is upstream's protocol. */
  readonly version: () => number;
}

export function negotiated(plain: Http): Negotiated {
  let version = upstreamVersion;
  return {
    version: () => version,
    async http(request) {
      // The lower version: instances of version 1 know no other. One of upstream's looks at no header.
      const ours = version === upstreamVersion ? protocolVersion : version;
      const headers = { ...request.headers, [protocolHeader]: String(ours) };
      const response = await plain({ ...request, headers });
      const theirs = response.headers.get(protocolHeader);
      // What stands between the two sides sends no header either, but then it is an error.
      if (theirs === null && !response.ok) return response;
      const common = commonVersion(theirs, protocolVersion);
      if (common !== null && response.status !== 426) {
        version = common;
        return response;
      }
      await response.body?.cancel();
      if (common === null) throw versionsApart(theirs ?? '', protocolVersion);
      version = common;
      throw instanceUnreachable(request.what, 'it speaks another version since the last request');
    },
  };
}
