import type { FastifyInstance } from 'fastify';
import { badRequest, queryTooBig } from '../../errors.ts';
import { answerGraphql, graphqlRequestSchema } from '../../graphql/answer.ts';
import { unpackRequest } from '../../repos/request.ts';
import { bytesOf, readBytes } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { bodyLimits } from '../limits.ts';
import { personOf, requirePerson } from '../person.ts';

/** Bytes of an unpacked request: base64 makes a diff longer, and gzip makes it shorter again. */
const unpackedMax = 2 * bodyLimits.graphql;

/** `POST /.api/graphql`: what upstream's clients ask, with errors in a body of status 200. They gzip every request. */
export function graphqlRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  requirePerson(scope, deps.db);
  readBytes(scope, bodyLimits.graphql);
  scope.post('/.api/graphql', async (request) => {
    const encoding = request.headers['content-encoding'];
    const text = await unpackRequest(bytesOf(request), encoding, unpackedMax, queryTooBig);
    const asked = graphqlRequestSchema.safeParse(jsonOf(text));
    if (!asked.success)
      throw badRequest('the body is not JSON with `query`, a text, and `variables`, an object or null');
    const onInternal = (error: unknown) =>
      request.log.error({ error, url: request.url }, 'a field of a request failed');
    return await answerGraphql(deps, personOf(request), asked.data, onInternal);
  });
}

function jsonOf(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'));
  } catch {
    return undefined;
  }
}
