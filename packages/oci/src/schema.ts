import * as z from 'zod';

// The parts of the OCI image specification that are used.

const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** A text that some tools leave out, or write as null. */
const optionalText = z
  .string()
  .max(200)
  .nullish()
  .transform((text) => text ?? '');

const descriptorSchema = z.object({
  mediaType: z.string().max(200).optional(),
  digest: digestSchema,
  size: z.int().nonnegative(),
  platform: z.object({ architecture: optionalText, os: optionalText, variant: optionalText }).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
});
/** A reference to a blob. */
export type Descriptor = z.infer<typeof descriptorSchema>;

/** An image index, or the `index.json` of a layout. */
export const indexSchema = z.object({
  manifests: z
    .array(descriptorSchema)
    .max(1000)
    .nullable()
    .transform((manifests) => manifests ?? []),
});

/** Media types of layers. The compression is recognized from the bytes. */
const layerTypes =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(foreign\.)?diff\.tar)([+.](gzip|zstd))?$/;
const layerSchema = descriptorSchema.extend({
  mediaType: z
    .string()
    .max(200)
    .regex(layerTypes, {
      error: ({ input }) => `a layer has the type ${String(input)}, which is not that of a root file system`,
    })
    .optional(),
});
const layersMax = 500;
/** The manifest of an image. */
export const manifestSchema = z.object({
  config: descriptorSchema,
  layers: z.array(layerSchema).max(layersMax, `more than ${layersMax} layers`),
});

const strings = z.array(z.string().max(131_072)).max(4096).nullish();
/** Most volumes of an image. Init has the same limit (`VOLUMES_MAX`). */
const volumesMax = 256;
/** The configuration of an image. */
export const configSchema = z.object({
  architecture: optionalText,
  os: optionalText,
  variant: optionalText,
  config: z
    .object({
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      StopSignal: z.string().max(100).nullish(),
      Volumes: z
        .record(z.string().max(1000), z.unknown())
        .refine((volumes) => Object.keys(volumes).length <= volumesMax, `more than ${volumesMax} volumes`)
        .nullish(),
    })
    .nullish(),
  rootfs: z.object({ diff_ids: z.array(digestSchema).max(layersMax).nullish() }).nullish(),
});
export type Config = z.infer<typeof configSchema>;

/** The `manifest.json` of `docker save`. */
export const dockerManifestSchema = z
  .array(
    z.object({
      Config: z.string().max(500),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z
        .array(z.string().max(500))
        .max(layersMax, `more than ${layersMax} layers`)
        .nullish()
        .transform((layers) => layers ?? []),
    }),
  )
  .max(1000);
