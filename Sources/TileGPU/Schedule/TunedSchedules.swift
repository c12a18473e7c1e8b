// Written by `liger bench --tune`; not by hand.
extension GPUSchedule {
    static let tuned: [TuningKey: GPUSchedule] = [
        TuningKey(
            kernel: "CrossEntropyRows", vector: 8, lengthExponent: 15, capability: 90): GPUSchedule(
                threads: 256, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 8, chunkVectors: 2, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 8),
        TuningKey(
            kernel: "CrossEntropyRows", vector: 8, lengthExponent: 17, capability: 90): GPUSchedule(
                threads: 1024, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 8, chunkVectors: 2, minimumBlocks: 2,
                stages: 0, prefetchedChunks: 3),
        TuningKey(
            kernel: "CrossEntropyRows", vector: 8, lengthExponent: 18, capability: 90): GPUSchedule(
                threads: 1024, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 8, chunkVectors: 1, minimumBlocks: 2,
                stages: 0, prefetchedChunks: 6),
        TuningKey(
            kernel: "GeGLUTanhForward", vector: 8, lengthExponent: 14, capability: 90): GPUSchedule(
                threads: 896, blocks: 7, programsPerBlock: 1, vector: 8,
                residentLanes: 16, chunkVectors: 2, minimumBlocks: 8,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "LayerNormBackward", vector: 8, lengthExponent: 10, capability: 90): GPUSchedule(
                threads: 32, blocks: 1, programsPerBlock: 2, vector: 8,
                residentLanes: 32, chunkVectors: 2, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "LayerNormForward", vector: 8, lengthExponent: 14, capability: 90): GPUSchedule(
                threads: 128, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 8, chunkVectors: 4, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "RMSNormBackward", vector: 8, lengthExponent: 10, capability: 90): GPUSchedule(
                threads: 32, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 32, chunkVectors: 2, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "RMSNormBackward", vector: 8, lengthExponent: 7, capability: 90): GPUSchedule(
                threads: 16, blocks: 1, programsPerBlock: 16, vector: 8,
                residentLanes: 8, chunkVectors: 2, minimumBlocks: 4,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "RoPEKernel", vector: 8, lengthExponent: 6, capability: 90): GPUSchedule(
                threads: 4, blocks: 1, programsPerBlock: 64, vector: 8,
                residentLanes: 16, chunkVectors: 2, minimumBlocks: 4,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "RoPEPairKernel", vector: 8, lengthExponent: 6, capability: 90): GPUSchedule(
                threads: 4, blocks: 1, programsPerBlock: 64, vector: 8,
                residentLanes: 16, chunkVectors: 2, minimumBlocks: 4,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "SoftmaxBackward", vector: 8, lengthExponent: 15, capability: 90): GPUSchedule(
                threads: 1024, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 32, chunkVectors: 2, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "SoftmaxBackward", vector: 8, lengthExponent: 16, capability: 90): GPUSchedule(
                threads: 512, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 8, chunkVectors: 4, minimumBlocks: 2,
                stages: 0, prefetchedChunks: 3),
        TuningKey(
            kernel: "SoftmaxBackward", vector: 8, lengthExponent: 17, capability: 90): GPUSchedule(
                threads: 512, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 8, chunkVectors: 2, minimumBlocks: 2,
                stages: 0, prefetchedChunks: 6),
        TuningKey(
            kernel: "SoftmaxForward", vector: 8, lengthExponent: 15, capability: 90): GPUSchedule(
                threads: 256, blocks: 1, programsPerBlock: 1, vector: 8,
                residentLanes: 8, chunkVectors: 4, minimumBlocks: 4,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "TallColumnSum", vector: 1, lengthExponent: 12, capability: 90): GPUSchedule(
                threads: 256, blocks: 1, programsPerBlock: 1, vector: 1,
                residentLanes: 1, chunkVectors: 1, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "TallColumnSum", vector: 1, lengthExponent: 8, capability: 90): GPUSchedule(
                threads: 32, blocks: 1, programsPerBlock: 4, vector: 1,
                residentLanes: 8, chunkVectors: 2, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 0),
        TuningKey(
            kernel: "TallColumnSum", vector: 1, lengthExponent: 9, capability: 90): GPUSchedule(
                threads: 128, blocks: 1, programsPerBlock: 1, vector: 1,
                residentLanes: 4, chunkVectors: 2, minimumBlocks: 0,
                stages: 0, prefetchedChunks: 0),
    ]
}
