import { commonVersion, protocolHeader, protocolVersion, upstreamVersion } from '@fumehood/protocol';
import { instanceUnreachable, versionsApart } from '../errors.ts';
import type { Http } from './http.ts';

/** Requests on the routes of the executor: each tells our version of the protocol, and each answer tells the instance's. */
export interface VersionedHttp {
  /** Errors besides those of `Http`: `versions_apart`. */
  readonly http: Http;
  /** The version that both sides speak, by the last answer. Before the first answer it is `upstreamVersion`. */
  readonly version: () => number;
}

/** Adds the negotiation of the version to requests. Starts without knowledge of the instance's version. */
export function negotiateVersion(plain: Http): VersionedHttp {
  let version = upstreamVersion;
  return {
    version: () => version,
    async http(request) {
      // An instance of version 1 refuses a higher version, so the common one is sent. Upstream's instances ignore the header.
      const ours = version === upstreamVersion ? protocolVersion : version;
      const headers = { ...request.headers, [protocolHeader]: String(ours) };
      const response = await plain({ ...request, headers });
      const theirs = response.headers.get(protocolHeader);
      // An error without the header may come from a proxy: it says nothing of the instance's version.
      if (theirs === null && !response.ok) return response;
      const common = commonVersion(theirs, protocolVersion);
      if (common !== null && response.status !== 426) {
        version = common;
        return response;
      }
      await response.body?.cancel();
      if (common === null) throw versionsApart(theirs ?? '', protocolVersion);
      version = common;
      throw instanceUnreachable(request.action, 'its version of the protocol has changed');
    },
  };
}
