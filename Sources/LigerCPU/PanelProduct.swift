import CVector
package import LigerArrays
import Synchronization
package import Tile

/// A matrix product whose operands of 8 and 16 bits are widened panel by panel.
///
/// C is cut into tiles. A worker widens the panels of A and B that a tile needs, `panelLength` of the inner
/// dimension at a time, sums their products in an fp32 tile of its own, and stores it rounded. Widening
/// takes a few hundredths of the products' time.
struct PanelProduct {
    private let a: MatrixOperand
    private let b: MatrixOperand
    private let c: MatrixOperand
    private var alpha: Float
    private let accumulates: Bool

    /// One product.
    init(_ product: Multiplication) {
        (a, b, c) = (product.a, product.b, product.c)
        (alpha, accumulates) = (product.alpha, product.accumulates)
    }

    static let tileLength = 256
    static let panelLength = 512

    func run(_ blas: BLAS, memory: MemoryPool, pool: ThreadPool) throws {
        if c.rows == 0 || c.columns == 0 { return }
        if [a, b, c].allSatisfy({ $0.dtype == .f32 }) {
            blas.gemm(
                MatrixProduct(
                    rows: c.rows, columns: c.columns, inner: a.columns, alpha: alpha, a.factor, b.factor,
                    beta: accumulates ? 1 : 0, into: c.address.assumingMemoryBound(to: Float.self),
                    rowStride: c.rowStride),
                pool: pool)
            return
        }
        try runInPanels(blas, memory, pool)
    }

    /// Bytes that `run` takes.
    func workspaceBytes(threads: Int) -> Int {
        if [a, b, c].allSatisfy({ $0.dtype == .f32 }) { return 0 }
        return Self.workspaceBytes(rows: c.rows, columns: c.columns, inner: a.columns, threads: threads)
    }

    /// Bytes of the panels of all workers.
    static func workspaceBytes(
        rows: Int, columns: Int, inner: Int, threads: Int = ThreadPool.shared.threadCount
    ) -> Int {
        let workers = min(threads, tileCount(rows) * tileCount(columns))
        return workers * Panels(rows: rows, columns: columns, inner: inner).byteCount
    }

    private static func tileCount(_ length: Int) -> Int { (length + tileLength - 1) / tileLength }

    private func runInPanels(_ blas: BLAS, _ memory: MemoryPool, _ pool: ThreadPool) throws {
        let across = Self.tileCount(c.columns)
        let tiles = Self.tileCount(c.rows) * across
        let workers = min(pool.threadCount, tiles)
        let panels = Panels(rows: c.rows, columns: c.columns, inner: a.columns)
        let workspace = try memory.allocate(workers * panels.byteCount)
        defer { memory.release(workspace) }
        let next = Atomic<Int>(0)
        // Workers write disjoint tiles of C, each has its own panels, and A and B are only read.
        var scaled = self
        scaled.alpha *= a.scaleValue * b.scaleValue
        nonisolated(unsafe) let product = scaled
        pool.forEach(workers) { worker in
            let memory = (workspace.address + worker * panels.byteCount).assumingMemoryBound(to: Float.self)
            while true {
                let tile = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard tile < tiles else { return }
                let row = tile / across * Self.tileLength
                let column = tile % across * Self.tileLength
                product.computeTile(
                    row..<min(row + Self.tileLength, product.c.rows),
                    column..<min(column + Self.tileLength, product.c.columns), blas, panels, memory)
            }
        }
    }

    private func computeTile(
        _ rows: Range<Int>, _ columns: Range<Int>, _ blas: BLAS, _ panels: Panels,
        _ memory: UnsafeMutablePointer<Float>
    ) {
        let sums = memory + panels.a + panels.b
        if accumulates { c.load(rows, columns, sums) }
        var start = 0
        repeat {
            let inner = start..<min(start + Self.panelLength, a.columns)
            blas.gemmSerial(
                MatrixProduct(
                    rows: rows.count, columns: columns.count, inner: inner.count, alpha: alpha,
                    a.widened(rows, inner, memory), b.widened(inner, columns, memory + panels.a),
                    beta: accumulates || start > 0 ? 1 : 0, into: sums, rowStride: columns.count))
            start = inner.upperBound
        } while start < a.columns
        c.store(rows, columns, sums)
    }
}

extension MatMul {
    /// Bytes that `apply` takes in addition to its result on the processor.
    package static func workspaceBytes(rows: Int, columns: Int, inner: Int, dtypes: [DType]) -> Int {
        if dtypes.allSatisfy({ $0 == .f32 }) { return 0 }
        return PanelProduct.workspaceBytes(rows: rows, columns: columns, inner: inner)
    }
}

/// Elements of a worker's panels.
private struct Panels {
    let a: Int
    let b: Int
    let c: Int

    init(rows: Int, columns: Int, inner: Int) {
        let (rows, columns) = (min(rows, PanelProduct.tileLength), min(columns, PanelProduct.tileLength))
        let inner = min(inner, PanelProduct.panelLength)
        // Whole cache lines, so that workers share none.
        func whole(_ count: Int) -> Int { (count + 15) / 16 * 16 }
        (a, b, c) = (whole(rows * inner), whole(inner * columns), whole(rows * columns))
    }

    var byteCount: Int { (a + b + c) * 4 }
}

extension MatrixOperand {
    /// As a factor of an fp32 product.
    fileprivate var factor: MatrixProduct.Factor {
        MatrixProduct.Factor(
            address.assumingMemoryBound(to: Float.self), rowStride: rowStride, transposed: isTransposed)
    }

    /// A part as an fp32 factor: in place, or widened into a panel.
    fileprivate func widened(
        _ rows: Range<Int>, _ columns: Range<Int>, _ panel: UnsafeMutablePointer<Float>
    ) -> MatrixProduct.Factor {
        let (outer, run) = isTransposed ? (columns, rows) : (rows, columns)
        if dtype == .f32 {
            let first = element(outer.lowerBound, run.lowerBound).assumingMemoryBound(to: Float.self)
            return MatrixProduct.Factor(first, rowStride: rowStride, transposed: isTransposed)
        }
        load(outer, run, panel)
        return MatrixProduct.Factor(panel, rowStride: run.count, transposed: isTransposed)
    }

    /// Widens a part, counted as it is stored.
    fileprivate func load(
        _ outer: Range<Int>, _ run: Range<Int>, _ panel: UnsafeMutablePointer<Float>
    ) {
        let load = cv_get_load(storage)
        for (i, row) in outer.enumerated() {
            load?(panel + i * run.count, element(row, run.lowerBound), 1, Int64(run.count))
        }
    }

    /// Rounds a part into place, counted as it is stored.
    fileprivate func store(
        _ outer: Range<Int>, _ run: Range<Int>, _ panel: UnsafePointer<Float>
    ) {
        let store = cv_get_store(storage)
        for (i, row) in outer.enumerated() {
            store?(element(row, run.lowerBound), 1, panel + i * run.count, Int64(run.count))
        }
    }

    /// What elements are multiplied by.
    fileprivate var scaleValue: Float { scale?.load(as: Float.self) ?? 1 }

    private var storage: Int32 {
        switch dtype {
        case .e4m3: Int32(CV_STORE_E4M3)
        case .e5m2: Int32(CV_STORE_E5M2)
        case .bf16: Int32(CV_STORE_BF16)
        case .f16: Int32(CV_STORE_F16)
        default: Int32(CV_STORE_F32)
        }
    }
}
