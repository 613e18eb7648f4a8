import { z } from 'zod';

/** OCI image specification: descriptors, manifests and configurations, as far as they are used. */
export const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/);

export const descriptorSchema = z.object({
  mediaType: z.string().max(200).optional(),
  digest: digestSchema,
  size: z.int().nonnegative(),
  platform: z.object({ architecture: z.string(), os: z.string() }).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Descriptor = z.infer<typeof descriptorSchema>;

export const indexSchema = z.object({ manifests: z.array(descriptorSchema).max(1000) });
export const manifestSchema = z.object({
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(500),
});

const strings = z.array(z.string().max(131_072)).max(4096).nullish();
export const configSchema = z.object({
  architecture: z.string(),
  os: z.string(),
  config: z
    .object({
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
    })
    .nullish(),
});

/** `manifest.json` of `docker save`. */
export const dockerManifestSchema = z
  .array(
    z.object({
      Config: z.string().max(500),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z.array(z.string().max(500)).max(500),
    }),
  )
  .max(1000);
