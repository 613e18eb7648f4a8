import { Readable } from 'node:stream';
import { anyRelativePathSchema, isStorable } from '@fumehood/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { storeBatchFile } from '../../batches/files.ts';
import { badRequest } from '../../errors.ts';
import { keyOf } from '../../graphql/ids.ts';
import { bytesOf, readBytes } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { describeIssues } from '../issues.ts';
import { bodyLimits } from '../limits.ts';
import { personOf, requirePerson } from '../person.ts';

/** The time of a file as upstream's clients write it. */
const goTime = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})? [+-]\d{4}) [A-Z0-9+-]{1,6}$/;

const formSchema = z.object({
  /** Of its directory, from that of the batch spec. */
  filepath: z.string().refine((path) => !path.includes('\\'), 'must not have a backslash'),
  filemod: z
    .string()
    .regex(goTime, 'must be a time such as `2026-01-02 03:04:05.6 +0000 UTC`')
    .transform((text) => goTime.exec(text)?.[1] ?? '')
    .refine((text) => !Number.isNaN(Date.parse(text)), 'must be a time that there is'),
  file: z.instanceof(File),
});

/** `POST /.api/files/batch-changes/{batch spec}`: upstream's clients send the files that steps mount, one in a request, as a form. */
export function batchFormRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  requirePerson(scope, deps.db);
  readBytes(scope, bodyLimits.batchFile);
  scope.post('/.api/files/batch-changes/:spec', async (request) => {
    const { spec } = request.params as { readonly spec: string };
    const { filepath, filemod, file } = await readForm(request);
    const path = anyRelativePathSchema.safeParse(filepath === '' ? file.name : `${filepath}/${file.name}`);
    if (!path.success || !isStorable(path.data) || /[\\/]/.test(file.name))
      throw badRequest('the path of the file leads out of the directory of the batch spec');
    const sent = { path: path.data, modifiedAt: new Date(filemod) };
    const content = Readable.from([Buffer.from(await file.arrayBuffer())]);
    const { id } = await storeBatchFile(deps, personOf(request), keyOf('BatchSpec', spec), sent, content);
    return { id };
  });
}

/** Reads the form of a request. Errors: `invalid_request`. */
async function readForm(request: FastifyRequest): Promise<z.output<typeof formSchema>> {
  const headers = { 'content-type': request.headers['content-type'] ?? '' };
  const form = await new Response(new Uint8Array(bytesOf(request)), { headers }).formData().catch(() => null);
  const parsed = formSchema.safeParse(Object.fromEntries(form ?? []));
  if (parsed.success) return parsed.data;
  throw badRequest(
    `the body is not a form with \`filepath\`, \`filemod\` and \`file\`: ${describeIssues(parsed.error)}`,
  );
}
