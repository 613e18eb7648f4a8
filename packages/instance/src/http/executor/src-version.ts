import type { FastifyInstance } from 'fastify';
import { srcVersion } from '../../config.ts';

/** Which release of `src` goes with this instance; anybody may know. Upstream's `validate` asks in two places. */
export function srcVersionRoutes(scope: FastifyInstance): void {
  for (const prefix of ['', '/.executors/queue'])
    scope.get(`${prefix}/.api/src-cli/version`, async () => ({ version: srcVersion }));
}
