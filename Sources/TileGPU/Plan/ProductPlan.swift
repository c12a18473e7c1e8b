import Tile

/// A kernel's products of one row: what shared memory holds of their factors, and where. Decided once; the emitter reads
/// it. Several products of a row are one to the tensor cores: their second factors' tiles are next to each other.
struct ProductPlan {
    let contractions: [Contraction]
    /// The tiles that they give.
    let results: [ValueID]
    let positions: ProductPositions
    let tiling: ProductTiling
    /// Columns of a product's tile: the width of a column block.
    let width: Int
    let blocks: ColumnBlocks
    let dtype: DType
    /// Bytes of a stage's part of the first factor, and of one of the second ones.
    let bytesOfA: Int
    let bytesOfB: Int
    /// Where the barriers are: for each stage one that tells that it is filled, then one for each that tells that it
    /// has been read.
    let barriers: Int

    /// Columns of all products' tiles together.
    var columns: Int { width * contractions.count }
    var stageBytes: Int { bytesOfA + bytesOfB * contractions.count }
    var sharedBytes: Int { barriers + 16 * tiling.stages }
    /// From a stage's first barrier to its second.
    var toRead: Int { 8 * tiling.stages }

    /// Rows of b that one copy brings: a cluster's blocks share the work.
    var copiedRows: Int { width / tiling.cluster }

    /// Whether lines are columns in memory: then a stage has the tile's lines along its rows of 128 bytes.
    var hasColumnsOfA: Bool { contractions[0].contractedA == 0 }
    var hasColumnsOfB: Bool { contractions[0].contractedB == 0 }

    var hasParts: Bool { positions.count != nil }

    var maps: [TensorMap] {
        let ofB = contractions.map { map($0.b, hasColumnsOfB, lines: copiedRows) }
        return [map(contractions[0].a, hasColumnsOfA, lines: tiling.rows)]
            + ofB.enumerated().filter { !ofB[..<$0.offset].contains($0.element) }.map(\.element)
    }

    /// Which map a product's second factor has.
    func mapOfB(_ number: Int) -> Int {
        let map = map(contractions[number].b, hasColumnsOfB, lines: copiedRows)
        return maps.dropFirst().firstIndex(of: map) ?? 1
    }

    private func map(_ view: Int, _ hasColumns: Bool, lines: Int) -> TensorMap {
        TensorMap(
            view: view, rows: hasColumns ? ProductTiling.depth : lines, columns: ProductTiling.depth)
    }

    /// - Throws: `LoweringError` where the tensor cores cannot do the kernel's products.
    init(
        _ function: TileFunction, _ layouts: [GPULayout], _ tiling: ProductTiling, _ divisors: Divisors,
        _ limits: GPULimits
    ) throws {
        func refused(_ why: String) -> LoweringError {
            LoweringError(description: "kernel \(function.name): \(why)")
        }
        let products = function.products
        guard let first = products.first, let blocks = function.columnBlocks else {
            throw refused("a product without blocks of columns. Cut the result into blocks of a GPU's tile")
        }
        contractions = products
        (self.tiling, self.blocks, width) = (tiling, blocks, blocks.width)
        dtype = function.views[first.a].dtype
        try Self.checkLengths(function, refused)
        results = function.body.operations.filter(\.isProduct).map { $0.results[0] }
        positions = try ProductPositions(
            function, rows: tiling.rows * tiling.cluster, divisors, refused)
        bytesOfA = tiling.rows * ProductTiling.depth * 2
        bytesOfB = blocks.width * ProductTiling.depth * 2
        barriers = tiling.stages * (bytesOfA + bytesOfB * products.count)
        try checkTiles(refused)
        for product in products { try checkFactors(product, function, layouts, refused) }
        let isKnown =
            [64, 128].contains(tiling.rows) && tiling.stages > 1 && [1, 2, 4, 8].contains(tiling.cluster)
            && tiling.rowTilesTogether > 0
        if !isKnown || sharedBytes > limits.sharedBytes {
            throw refused("a tiling that no GPU has: \(tiling), \(sharedBytes) bytes of shared memory")
        }
    }

    private func checkTiles(_ refused: (String) -> LoweringError) throws {
        let copied = hasColumnsOfB ? ProductTiling.depth : 8 * tiling.cluster
        if width % copied != 0 || columns > 256 {
            throw refused(
                "\(contractions.count) products of blocks of \(width) columns. A block has a multiple of "
                    + "\(copied), and all together up to 256")
        }
        if hasColumnsOfB && tiling.cluster > 1 {
            throw refused("columns as second factors in clusters. Clusters share the copies of rows")
        }
    }

    private func checkFactors(
        _ product: Contraction, _ function: TileFunction, _ layouts: [GPULayout],
        _ refused: (String) -> LoweringError
    ) throws {
        let (one, other) = (contractions[0], product)
        if one.a != other.a || one.contractedA != other.contractedA || one.contractedB != other.contractedB {
            throw refused("products of several matrices' lines. Give all one first factor")
        }
        if dtype.byteCount != 2 || function.views[product.b].dtype != dtype {
            throw refused("a product of \(dtype.rawValue). Tensor cores take two factors of bf16 or of f16")
        }
        for view in [product.a, product.b] where !layouts[view].hasUnitStride || !layouts[view].isAligned {
            throw refused(
                "the rows of \(function.views[view].name) are not contiguous at multiples of 16 bytes, as the "
                    + "copy engine wants them")
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
}
