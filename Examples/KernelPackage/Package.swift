// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "KernelPackage",
    platforms: [.macOS(.v15)],
    // The path is that of a clone of swift-liger.
    dependencies: [.package(name: "swift-liger", path: "../..")],
    targets: [
        .executableTarget(
            name: "KernelExample",
            dependencies: [
                .product(name: "Tile", package: "swift-liger"),
                .product(name: "LigerKernels", package: "swift-liger"),
            ]),
        .target(name: "ExampleKernels", dependencies: [.product(name: "Tile", package: "swift-liger")]),
        .testTarget(
            name: "ExampleKernelsTests",
            dependencies: [
                "ExampleKernels",
                .product(name: "Tile", package: "swift-liger"),
                .product(name: "LigerKernels", package: "swift-liger"),
            ]),
    ]
)
