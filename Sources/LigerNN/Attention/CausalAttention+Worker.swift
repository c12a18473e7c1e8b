import LigerKernels
import LigerRuntime
import Tile

extension CausalAttention {
    /// The work on one key head of one document and query heads that share it, on one thread. Rows and keys count from
    /// the document's first token, so that a document's numbers do not depend on where it lies.
    struct Worker {
        private let geometry: Geometry
        private let blas: BLAS
        private let document: Document
        private let kvHead: Int
        /// [tokens, D], f32.
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
            /// And for the bounded ones, where scores have a softcap.
            fileprivate let bounded: NDArray?
        }

        init(
            _ geometry: Geometry, _ blas: BLAS, _ document: Document, kvHead: Int, k: NDArray, v: NDArray
        ) throws {
            // One as long as the document.
            let geometry = geometry.of(length: document.tokens.count)
            self.geometry = geometry
            self.blas = blas
            self.document = document
            self.kvHead = kvHead
            self.k = try k.head(kvHead, of: document).widened()
            self.v = try v.head(kvHead, of: document).widened()
            scores = try NDArray(empty: [geometry.block * geometry.mostKeys], device: k.device)
        }

        /// The most bytes that the work on one task holds.
        static func byteCount(_ geometry: Geometry, _ dtype: DType, isBackward: Bool) -> Int {
            let (length, block) = (geometry.length, geometry.block)
            let scores = block * geometry.mostKeys, heads = 2 * length * geometry.headSize
            let rows = block * geometry.headSize
            // Operands, and blocks of rows on their way from and to 16 bits; in fp32 they are used in place.
            let widened = dtype == .f32 ? 0 : heads + (isBackward ? 3 : 2) * rows
            let more = geometry.rule.softcap == nil ? scores : 2 * scores
            return 4 * (scores + widened + (isBackward ? heads + more : 0))
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

        /// The keys that one of a block's queries sees.
        private func keys(_ block: Range<Int>) -> Range<Int> {
            max(0, block.lowerBound + 1 - (geometry.window ?? geometry.length))..<block.upperBound
        }

        /// o = softmax(q k^T / sqrt(D)) v for one head.
        func forward(q: NDArray, head: Int, into output: NDArray) throws {
            let (q, output) = (q.head(head, of: document), output.head(head, of: document))
            for block in blocks {
                let queries = try q.sliced(0, block).widened()
                let p = try probabilities(queries, block)
                try write(to: output.sliced(0, block)) {
                    try blas.multiply(p, v.sliced(0, keys(block)), into: $0)
                }
            }
        }

        /// - Parameter bounded: where bounded scores are kept, for the backward pass.
        private func probabilities(
            _ queries: NDArray, _ block: Range<Int>, keeping bounded: NDArray? = nil
        ) throws -> NDArray {
            let keys = keys(block)
            let p = matrix(scores, block.count, keys.count)
            try blas.multiply(queries, k.sliced(0, keys), transposeB: true, into: p)
            if let cap = geometry.rule.softcap {
                try Softcap.forward(p, into: p, scale: geometry.scale, cap: cap)
                if let bounded { try Elementwise.copyRows(p, into: matrix(bounded, block.count, keys.count)) }
            }
            try Softmax.forward(
                inPlace: p, scale: softmaxScale, firstQuery: block.lowerBound - keys.lowerBound,
                queries: block.count, window: geometry.window)
            return p
        }

        /// What the softmax multiplies by: bounded scores have been multiplied before.
        private var softmaxScale: Float { geometry.rule.softcap == nil ? geometry.scale : 1 }

        /// Gradients of 0 for this key head.
        func zeroGradients() throws -> Gradients {
            func scores() throws -> NDArray {
                try NDArray(empty: [geometry.block * geometry.mostKeys], device: k.device)
            }
            return Gradients(
                dk: try .zeros([geometry.length, geometry.headSize], device: k.device),
                dv: try .zeros([geometry.length, geometry.headSize], device: k.device),
                dScores: try scores(), bounded: geometry.rule.softcap == nil ? nil : try scores())
        }

        /// With p the probabilities and ds = p (dp - sum(dp p)) / sqrt(D), where dp = do v^T:
        ///
        ///     dq = ds k     dk += ds^T q     dv += p^T do
        ///
        /// ds times the slope of the softcap where there is one.
        func backward(
            dy: NDArray, q: NDArray, head: Int, into dq: NDArray, adding gradients: Gradients
        ) throws {
            let (dk, dv) = (gradients.dk, gradients.dv)
            let (q, dq) = (q.head(head, of: document), dq.head(head, of: document))
            let dy = dy.head(head, of: document)
            for block in blocks {
                let (queries, upstream) = (
                    try q.sliced(0, block).widened(), try dy.sliced(0, block).widened()
                )
                let seen = keys(block)
                let p = try probabilities(queries, block, keeping: gradients.bounded)
                try blas.multiply(p, upstream, transposeA: true, accumulate: true, into: dv.sliced(0, seen))
                let dp = matrix(gradients.dScores, block.count, seen.count)
                try blas.multiply(upstream, v.sliced(0, seen), transposeB: true, into: dp)
                try Softmax.backward(
                    inPlace: dp, y: p, scale: softmaxScale, firstQuery: block.lowerBound - seen.lowerBound,
                    queries: block.count, window: geometry.window)
                if let cap = geometry.rule.softcap, let bounded = gradients.bounded {
                    try Softcap.backward(
                        inPlace: dp, v: matrix(bounded, block.count, seen.count), scale: geometry.scale,
                        cap: cap)
                }
                try write(to: dq.sliced(0, block)) { try blas.multiply(dp, k.sliced(0, seen), into: $0) }
                try blas.multiply(dp, queries, transposeA: true, accumulate: true, into: dk.sliced(0, seen))
            }
        }

        /// Writes this key head's part of dk and dv.
        func write(_ gradients: Gradients, dk: NDArray, dv: NDArray) throws {
            try Elementwise.copyRows(gradients.dk, into: dk.head(kvHead, of: document))
            try Elementwise.copyRows(gradients.dv, into: dv.head(kvHead, of: document))
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
    /// One head of one document of [batch, sequence, heads, D]: [tokens, D], sharing the buffer.
    fileprivate func head(_ head: Int, of document: CausalAttention.Document) -> NDArray {
        let row = document.row * strides[0] + document.tokens.lowerBound * strides[1]
        return NDArray(
            buffer: buffer, offset: offset + row + head * strides[2],
            shape: [document.tokens.count, shape[3]], strides: [strides[1], strides[3]], dtype: dtype)
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
