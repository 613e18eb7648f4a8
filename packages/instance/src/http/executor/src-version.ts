import type { FastifyInstance } from 'fastify';
import { srcVersion } from '../../config.ts';

/** `GET /.api/src-cli/version`: the release of `src` that goes with this instance, for anybody. Upstream's `validate` asks at two paths. */
export function srcVersionRoutes(scope: FastifyInstance): void {
  for (const prefix of ['', '/.executors/queue'])
    scope.get(`${prefix}/.api/src-cli/version`, async () => ({ version: srcVersion }));
}
