import LigerKernels
import LigerRuntime
import Tile

extension CausalAttention {
    /// The work on one key head of one sequence and query heads that share it, on one thread.
    struct Worker {
        private let geometry: Geometry
        private let blas: BLAS
        private let sequence: Int
        private let kvHead: Int
        /// [length, D], f32.
        private let k: NDArray
        private let v: NDArray
        /// Storage of the scores of one block of queries.
        private let scores: NDArray

        /// What the query heads of a group add up, and room to work in.
        struct Gradients {
            /// [length, D], f32.
            fileprivate let dk: NDArray
            fileprivate let dv: NDArray
            /// Storage as for the scores.
            fileprivate let dScores: NDArray
        }

        init(
            _ geometry: Geometry, _ blas: BLAS, _ sequence: Int, kvHead: Int, k: NDArray, v: NDArray
        ) throws {
            self.geometry = geometry
            self.blas = blas
            self.sequence = sequence
            self.kvHead = kvHead
            self.k = try k.head(kvHead, of: sequence).widened()
            self.v = try v.head(kvHead, of: sequence).widened()
            scores = try NDArray(empty: [geometry.block * geometry.length], device: k.device)
        }

        /// The most bytes that the work on one task holds.
        static func byteCount(_ geometry: Geometry, _ dtype: DType, isBackward: Bool) -> Int {
            let (length, block) = (geometry.length, geometry.block)
            let scores = block * length, heads = 2 * length * geometry.headSize
            let rows = block * geometry.headSize
            // Operands, and blocks of rows on their way from and to 16 bits; in fp32 they are used in place.
            let widened = dtype == .f32 ? 0 : heads + (isBackward ? 3 : 2) * rows
            return 4 * (scores + widened + (isBackward ? heads + scores : 0))
        }

        /// The query heads that share this key head.
        var heads: Range<Int> {
            (kvHead * geometry.group)..<((kvHead + 1) * geometry.group)
        }

        private var blocks: [Range<Int>] {
            stride(from: 0, to: geometry.length, by: geometry.block).map {
                $0..<min($0 + geometry.block, geometry.length)
            }
        }

        /// o = softmax(q k^T / sqrt(D)) v for one head.
        func forward(q: NDArray, head: Int, into output: NDArray) throws {
            let (q, output) = (q.head(head, of: sequence), output.head(head, of: sequence))
            for block in blocks {
                let queries = try q.sliced(0, block).widened()
                let seen = 0..<block.upperBound
                let p = try probabilities(queries, block)
                try write(to: output.sliced(0, block)) { try blas.multiply(p, v.sliced(0, seen), into: $0) }
            }
        }

        private func probabilities(_ queries: NDArray, _ block: Range<Int>) throws -> NDArray {
            let p = matrix(scores, block.count, block.upperBound)
            try blas.multiply(queries, k.sliced(0, 0..<block.upperBound), transposeB: true, into: p)
            try Softmax.forward(
                inPlace: p, scale: geometry.scale, firstQuery: block.lowerBound, queries: block.count)
            return p
        }

        /// Gradients of 0 for this key head.
        func zeroGradients() throws -> Gradients {
            Gradients(
                dk: try .zeros([geometry.length, geometry.headSize], device: k.device),
                dv: try .zeros([geometry.length, geometry.headSize], device: k.device),
                dScores: try NDArray(empty: [geometry.block * geometry.length], device: k.device))
        }

        /// With p the probabilities and ds = p (dp - sum(dp p)) / sqrt(D), where dp = do v^T:
        ///
        ///     dq = ds k     dk += ds^T q     dv += p^T do
        func backward(
            dy: NDArray, q: NDArray, head: Int, into dq: NDArray, adding gradients: Gradients
        ) throws {
            let (dk, dv) = (gradients.dk, gradients.dv)
            let (q, dq) = (q.head(head, of: sequence), dq.head(head, of: sequence))
            let dy = dy.head(head, of: sequence)
            for block in blocks {
                let (queries, upstream) = (
                    try q.sliced(0, block).widened(), try dy.sliced(0, block).widened()
                )
                let seen = 0..<block.upperBound
                let p = try probabilities(queries, block)
                try blas.multiply(p, upstream, transposeA: true, accumulate: true, into: dv.sliced(0, seen))
                let dp = matrix(gradients.dScores, block.count, block.upperBound)
                try blas.multiply(upstream, v.sliced(0, seen), transposeB: true, into: dp)
                try Softmax.backward(
                    inPlace: dp, y: p, scale: geometry.scale, firstQuery: block.lowerBound,
                    queries: block.count)
                try write(to: dq.sliced(0, block)) { try blas.multiply(dp, k.sliced(0, seen), into: $0) }
                try blas.multiply(dp, queries, transposeA: true, accumulate: true, into: dk.sliced(0, seen))
            }
        }

        /// Writes this key head's part of dk and dv.
        func write(_ gradients: Gradients, dk: NDArray, dv: NDArray) throws {
            try Elementwise.copyRows(gradients.dk, into: dk.head(kvHead, of: sequence))
            try Elementwise.copyRows(gradients.dv, into: dv.head(kvHead, of: sequence))
        }

        /// Lets `compute` write f32 rows, in place if the destination holds f32, else on the way there.
        private func write(to rows: NDArray, compute: (NDArray) throws -> Void) throws {
            if rows.dtype == .f32 { return try compute(rows) }
            let wide = try NDArray(empty: rows.shape, device: rows.device)
            try compute(wide)
            try Elementwise.copyRows(wide, into: rows)
        }

        private func matrix(_ storage: NDArray, _ rows: Int, _ columns: Int) -> NDArray {
            storage.sliced(0, 0..<(rows * columns)).reshaped([rows, columns])
        }
    }
}

extension NDArray {
    /// One head of one sequence of [batch, sequence, heads, D]: [sequence, D], sharing the buffer.
    fileprivate func head(_ head: Int, of sequence: Int) -> NDArray {
        NDArray(
            buffer: buffer, offset: offset + sequence * strides[0] + head * strides[2],
            shape: [shape[1], shape[3]], strides: [strides[1], strides[3]], dtype: dtype)
    }

    /// These rows in f32; themselves if they are.
    fileprivate func widened() throws -> NDArray {
        if dtype == .f32 { return self }
        let wide = try NDArray(empty: shape, device: device)
        try Elementwise.copyRows(self, into: wide)
        return wide
    }

    fileprivate func factor(transposed: Bool) throws -> MatrixProduct.Factor {
        MatrixProduct.Factor(
            try hostAddress().assumingMemoryBound(to: Float.self), rowStride: strides[0],
            transposed: transposed)
    }
}

extension BLAS {
    /// c = op(a) op(b), or c += that, on the calling thread; all f32 matrices with unit column stride.
    fileprivate func multiply(
        _ a: NDArray, _ b: NDArray, transposeA: Bool = false, transposeB: Bool = false,
        accumulate: Bool = false, into c: NDArray
    ) throws {
        gemmSerial(
            try MatrixProduct(
                rows: c.shape[0], columns: c.shape[1], inner: a.shape[transposeA ? 0 : 1],
                a.factor(transposed: transposeA), b.factor(transposed: transposeB),
                beta: accumulate ? 1 : 0, into: c.hostAddress().assumingMemoryBound(to: Float.self),
                rowStride: c.strides[0]))
    }
}
