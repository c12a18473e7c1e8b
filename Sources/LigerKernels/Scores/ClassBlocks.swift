/// How the classes of a layer are cut for kernels whose products end in an epilogue: blocks of 256, and what is left over in
/// blocks of 64, by a launch of its own. So only a narrow block may be cut. A wide one that may be has its code twice, with
/// guards and without, and took the driver 290 to 380 ms to compile.
package struct ClassBlocks {
    /// Blocks of one width.
    package struct Part {
        package let width: Int
        package let classes: Range<Int>
        /// Their numbers among all.
        package let blocks: Range<Int>

        /// Whether none is cut.
        package var isWhole: Bool { classes.count % width == 0 }
    }

    private static let (wide, narrow) = (256, 64)

    /// One or two; none where there are no classes.
    package let parts: [Part]

    package init(_ classes: Int) {
        let blocks = classes / Self.wide, whole = blocks * Self.wide
        let more = (classes - whole + Self.narrow - 1) / Self.narrow
        parts = [
            Part(width: Self.wide, classes: 0..<whole, blocks: 0..<blocks),
            Part(width: Self.narrow, classes: whole..<classes, blocks: blocks..<(blocks + more)),
        ].filter { !$0.classes.isEmpty }
    }

    package var count: Int { parts.last?.blocks.upperBound ?? 0 }
}
