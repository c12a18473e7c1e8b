import Tile

/// A kernel's product: what shared memory holds of its factors, and where. Decided once; the emitter reads it.
struct ProductPlan {
    let contraction: Contraction
    let tiling: ProductTiling
    /// Columns of a tile: the width of a column block.
    let columns: Int
    let dtype: DType
    /// Bytes of a stage's part of either factor.
    let bytesOfA: Int
    let bytesOfB: Int
    /// Where the barriers are: for each stage one that tells that it is filled, then one for each that tells that it
    /// has been read.
    let barriers: Int

    var stageBytes: Int { bytesOfA + bytesOfB }
    var sharedBytes: Int { barriers + 16 * tiling.stages }
    /// From a stage's first barrier to its second.
    var toRead: Int { 8 * tiling.stages }

    /// Rows of b that one copy brings: a cluster's blocks share the work.
    var copiedRows: Int { columns / tiling.cluster }

    var maps: [TensorMap] {
        [
            TensorMap(view: contraction.a, rows: tiling.rows, columns: ProductTiling.depth),
            TensorMap(view: contraction.b, rows: copiedRows, columns: ProductTiling.depth),
        ]
    }

    /// - Throws: `LoweringError` where the tensor cores cannot do the kernel's product.
    init(
        _ function: TileFunction, _ layouts: [GPULayout], _ tiling: ProductTiling, _ limits: GPULimits
    ) throws {
        func refused(_ why: String) -> LoweringError {
            LoweringError(description: "kernel \(function.name): \(why)")
        }
        let products = function.products
        guard products.count == 1, let blocks = function.columnBlocks else {
            throw refused(
                "\(products.count) products over \(function.columnBlocks == nil ? "no " : "")blocks of columns. "
                    + "A GPU's kernel has one product, of a block of rows or columns")
        }
        contraction = products[0]
        if blocks.view != contraction.b || blocks.dimension != 1 - contraction.contractedB {
            throw refused(
                "blocks of \(function.views[blocks.view].name), and a product with lines of "
                    + "\(function.views[contraction.b].name). Cut the dimension whose lines are multiplied")
        }
        try Self.checkLengths(function, refused)
        (self.tiling, columns) = (tiling, blocks.width)
        dtype = function.views[contraction.a].dtype
        let copied = 8 * tiling.cluster
        if blocks.width % copied != 0 || blocks.width > 256 {
            throw refused(
                "blocks of \(blocks.width) columns. A tile has a multiple of \(copied), up to 256")
        }
        if dtype.byteCount != 2 || function.views[contraction.b].dtype != dtype {
            throw refused("a product of \(dtype.rawValue). Tensor cores take two factors of bf16 or of f16")
        }
        for (view, contracted) in [
            (contraction.a, contraction.contractedA), (contraction.b, contraction.contractedB),
        ] {
            if contracted != 1 {
                throw refused("columns of \(function.views[view].name) as a factor. Give rows")
            }
            if !layouts[view].hasUnitStride || !layouts[view].isAligned {
                throw refused(
                    "the rows of \(function.views[view].name) are not contiguous at multiples of 16 bytes, as the "
                        + "copy engine wants them")
            }
        }
        try Self.checkPositions(function, blocks, refused)
        bytesOfA = tiling.rows * ProductTiling.depth * 2
        bytesOfB = blocks.width * ProductTiling.depth * 2
        barriers = tiling.stages * (bytesOfA + bytesOfB)
        let isKnown =
            [64, 128].contains(tiling.rows) && tiling.stages > 1 && [1, 2, 4, 8].contains(tiling.cluster)
            && tiling.rowTilesTogether > 0
        if !isKnown || sharedBytes > limits.sharedBytes {
            throw refused("a tiling that no GPU has: \(tiling), \(sharedBytes) bytes of shared memory")
        }
    }

    /// That all tiles are rows of the product: registers hold them as it leaves them, piece by piece.
    private static func checkLengths(
        _ function: TileFunction, _ refused: (String) -> LoweringError
    ) throws {
        var lengths: Set<ExtentID> = []
        function.body.forEachOperation { operation in
            lengths.formUnion(
                (operation.results + operation.operands).compactMap { function.type($0).extent })
        }
        if lengths.count > 1 {
            throw refused("tiles of \(lengths.count) lengths next to a product. Give all that of its rows")
        }
    }

    /// That a program's product is of the row of its number, and of its column block.
    private static func checkPositions(
        _ function: TileFunction, _ blocks: ColumnBlocks, _ refused: (String) -> LoweringError
    ) throws {
        var makers: [ValueID: Operation] = [:]
        function.body.forEachOperation { operation in
            for result in operation.results { makers[result] = operation }
        }
        for operation in function.body.operations {
            guard case .product = operation.kind else { continue }
            let start = makers[operation.operands[1]]
            let factors = start.map { Set($0.operands.compactMap { makers[$0]?.kind }) }
            guard makers[operation.operands[0]]?.kind == .programIndex, start?.kind == .binary(.multiply),
                factors == [.columnBlock, .constant(.index(blocks.width))]
            else {
                throw refused("a product of other lines than the program's own row and block of columns")
            }
            return
        }
        throw refused("a product inside a loop or conditional")
    }
}
